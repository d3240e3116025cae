/** Seasons: shapes over a period, on the clock (day, week, year) or of the process's own, with drifting size. Pure. */
import type { Random } from '../random.ts';
import { DAY_MS, dayNumber, dayPhase, daysOf, type Frame, fraction, make, yearPhase } from './frame.ts';
import { meanReverting, smooth } from './noise.ts';

/** A function of the phase [0, 1), about unit variance. */
type Shape = (phase: number) => number;

/** A few harmonics with falling size. */
function harmonics(rng: Random): Shape {
  const decay = rng.range(0.5, 2);
  const parts = Array.from({ length: rng.int(1, 5) }, (_, k) => ({
    size: ((k === 0 ? 1 : rng.normal()) / (k + 1) ** decay) * Math.SQRT2,
    phase: rng.range(0, 2 * Math.PI),
    turns: 2 * Math.PI * (k + 1),
  }));
  return (phase) => {
    let sum = 0;
    for (const part of parts) sum += part.size * Math.cos(part.turns * phase + part.phase);
    return sum;
  };
}

/** One to three bumps of different width and height, as in meals, rush hours and shifts. */
export function bumps(rng: Random): Shape {
  const parts = Array.from({ length: rng.int(1, 3) }, () => ({
    at: rng.uniform(),
    width: rng.logRange(0.02, 0.15),
    height: rng.logRange(0.5, 3) * (rng.chance(0.1) ? -1 : 1),
  }));
  return (phase) => {
    let sum = 0;
    for (const part of parts) {
      const distance = Math.abs(fraction(phase - part.at + 0.5) - 0.5) / part.width;
      sum += part.height * Math.exp(-0.5 * distance * distance);
    }
    return sum * 1.5;
  };
}

/** Levels held over parts of the period: schedules, setbacks, shifts. */
function schedule(rng: Random): Shape {
  const edges = Array.from({ length: rng.int(2, 5) }, () => Math.round(rng.uniform() * 48) / 48).sort(
    (a, b) => a - b,
  );
  const levels = edges.map(() => rng.normal() * 1.2);
  return (phase) => {
    let level = levels[levels.length - 1];
    for (let i = 0; i < edges.length; i++) if (phase >= edges[i]) level = levels[i];
    return level;
  };
}

/** Rises slowly and falls fast, or the other way round. */
function sawtooth(rng: Random): Shape {
  const turn = rng.range(0.05, 0.95);
  const offset = rng.uniform();
  return (phase) => {
    const at = fraction(phase + offset);
    return (at < turn ? at / turn : (1 - at) / (1 - turn)) * 3.4 - 1.7;
  };
}

function anyShape(rng: Random): Shape {
  return [harmonics, bumps, schedule, sawtooth][rng.weighted([5, 3, 2, 1])](rng);
}

/** A day season with weekends, drift of size and phase jitter from day to day, on local time. Zero when days are not visible. */
export function daySeason(frame: Frame): Float64Array {
  const { rng } = frame;
  const weekday = anyShape(rng);
  const different = rng.chance(0.4);
  const weekend = different && rng.chance(0.5) ? anyShape(rng) : weekday;
  const weekendSize = different ? rng.range(0.2, 1.3) : 1;
  const weekendDays = rng.chance(0.15) ? [6] : [5, 6];
  const weekendLevel = different ? rng.normal() * 0.5 : 0;
  const jitter = rng.chance(0.5) ? rng.logRange(0.002, 0.04) : 0;
  const sizes = rng.chance(0.6) ? rng.range(0.05, 0.5) : 0;
  const drift = rng.chance(0.3) ? smooth(frame, frame.steps / rng.range(1, 4)) : null;
  let today = Number.NaN;
  let shift = 0;
  let size = 1;
  return make(frame, (t) => {
    const day = dayNumber(frame, t);
    if (day !== today) {
      today = day;
      shift = rng.normal() * jitter;
      size = Math.max(0.05, 1 + sizes * rng.normal());
    }
    const free = weekendDays.includes(day % 7);
    const shape = free ? weekend : weekday;
    const phase = fraction(dayPhase(frame, t) + shift);
    const grown = drift ? Math.exp(0.4 * drift[t]) : 1;
    return (shape(phase) * size * (free ? weekendSize : 1) + (free ? weekendLevel : 0)) * grown;
  });
}

/** A cycle of the process's own, not on the clock: period in buckets, with wandering speed and size. */
export function freeCycle(frame: Frame, period: number): Float64Array {
  const { rng } = frame;
  const shape = anyShape(rng);
  const wander = rng.chance(0.5) ? rng.logRange(0.005, 0.2) : 0;
  const speed = meanReverting(frame, period * rng.range(1, 10));
  const size = rng.chance(0.4) ? smooth(frame, period * rng.range(3, 20)) : null;
  let phase = rng.uniform();
  return make(frame, (t) => {
    phase = fraction(phase + Math.max(0.1, 1 + wander * speed[t]) / period);
    return shape(phase) * (size ? Math.exp(0.5 * size[t]) : 1);
  });
}

/** Sum of the tide's main constituents (M2, S2, K1, O1), periods in hours. */
export function tide(frame: Frame): Float64Array {
  const { rng } = frame;
  const parts = [12.4206, 12, 23.9345, 25.8193].map((hours, i) => ({
    turns: (2 * Math.PI * frame.intervalMs) / (hours * 3_600_000),
    size: i === 0 ? 1 : rng.range(0.05, 0.7),
    phase: rng.range(0, 2 * Math.PI),
  }));
  return make(frame, (t) => parts.reduce((sum, p) => sum + p.size * Math.cos(p.turns * t + p.phase), 0));
}

/** Slow season of the year; only a slope on short frames. */
export function yearSeason(frame: Frame): Float64Array {
  const phase = frame.rng.range(0.4, 0.65);
  return make(frame, (t) => Math.SQRT2 * Math.cos(2 * Math.PI * (yearPhase(frame, t) - phase)));
}

/** Are at least two days visible, with enough buckets in each to have a shape? */
export function hasDays(frame: Frame): boolean {
  return daysOf(frame) >= 2 && DAY_MS / frame.intervalMs >= 8;
}
