/** Random processes that generated series are made of: all about unit variance unless said otherwise. Pure. */
import { bucketsOf, type Frame, HOUR_MS, make, standardise } from './frame.ts';

/** First-order autoregression whose memory (time to fall to 1/e) is `buckets`. */
export function meanReverting(frame: Frame, buckets: number, heavyTails = false): Float64Array {
  const { rng } = frame;
  const keep = Math.exp(-1 / Math.max(0.05, buckets));
  const push = Math.sqrt(1 - keep * keep);
  let state = rng.normal();
  return make(frame, () => {
    const value = state;
    state = keep * state + push * (heavyTails ? rng.student(4) * 0.7 : rng.normal());
    return value;
  });
}

/** Mean-reverting twice over: smooth like a temperature, without the kinks of `meanReverting`. */
export function smoothReverting(frame: Frame, buckets: number): Float64Array {
  const keep = Math.exp(-1 / Math.max(0.5, buckets));
  const inner = meanReverting(frame, buckets);
  let state = inner[0] ?? 0;
  for (let t = 0; t < inner.length; t++) {
    state = keep * state + (1 - keep) * inner[t];
    inner[t] = state;
  }
  return standardise(inner);
}

/** ARMA(2, 1) with real or complex stable roots. */
export function arma(frame: Frame): Float64Array {
  const { rng } = frame;
  let first: number;
  let second: number;
  if (rng.chance(0.5)) {
    const r1 = 1 - rng.logRange(0.003, 0.9);
    const r2 = rng.range(-0.6, 0.9);
    first = r1 + r2;
    second = -r1 * r2;
  } else {
    const radius = 1 - rng.logRange(0.003, 0.4);
    const angle = (2 * Math.PI) / rng.logRange(4, 200);
    first = 2 * radius * Math.cos(angle);
    second = -radius * radius;
  }
  const moving = rng.range(-0.7, 0.7);
  const heavy = rng.chance(0.3);
  let y1 = 0;
  let y2 = 0;
  let before = 0;
  const warm = 200;
  const step = () => {
    const shock = heavy ? rng.student(3) : rng.normal();
    const y = first * y1 + second * y2 + shock + moving * before;
    y2 = y1;
    y1 = y;
    before = shock;
    return y;
  };
  for (let i = 0; i < warm; i++) step();
  return standardise(make(frame, step));
}

/** Random walk with optional drift; reaches about unit size over the frame. */
export function walk(frame: Frame): Float64Array {
  const { rng } = frame;
  const drift = rng.chance(0.4) ? rng.normal() * rng.logRange(0.01, 0.3) : 0;
  const heavy = rng.chance(0.3);
  let level = 0;
  return standardise(
    make(frame, () => {
      level += drift + (heavy ? rng.student(3) : rng.normal());
      return level;
    }),
  );
}

/** Smooth function of time from random Fourier features of a squared-exponential kernel of the given length. */
export function smooth(frame: Frame, lengthBuckets: number): Float64Array {
  const { rng } = frame;
  const waves = Array.from({ length: 24 }, () => ({
    frequency: rng.normal() / Math.max(1, lengthBuckets),
    phase: rng.range(0, 2 * Math.PI),
  }));
  const scale = Math.sqrt(2 / waves.length);
  return make(frame, (t) => {
    let sum = 0;
    for (const wave of waves) sum += Math.cos(wave.frequency * t + wave.phase);
    return sum * scale;
  });
}

/** White noise whose size itself wanders (volatility clusters). */
export function clustered(frame: Frame): Float64Array {
  const { rng } = frame;
  const size = meanReverting(frame, rng.logRange(10, 500));
  const strength = rng.range(0.3, 1);
  return standardise(make(frame, (t) => rng.normal() * Math.exp(strength * size[t])));
}

/** One of the above at random: what surrounds a signal. */
export function anyNoise(frame: Frame): Float64Array {
  const { rng } = frame;
  switch (rng.weighted([3, 2, 2, 1, 1])) {
    case 0:
      return make(frame, () => rng.normal());
    case 1:
      return meanReverting(frame, rng.logRange(1, 100), rng.chance(0.3));
    case 2:
      return smoothReverting(frame, bucketsOf(frame, rng.logRange(0.5, 48) * HOUR_MS, 2));
    case 3:
      return clustered(frame);
    default:
      return arma(frame);
  }
}

/** Piecewise states with random stays: returns the state of each bucket. `stay` in buckets, by state. */
export function states(frame: Frame, stay: readonly number[]): Uint8Array {
  const { rng } = frame;
  const out = new Uint8Array(frame.steps);
  let state = rng.int(0, stay.length - 1);
  let left = rng.exponential() * stay[state];
  for (let t = 0; t < out.length; t++) {
    out[t] = state;
    left -= 1;
    if (left > 0) continue;
    state = (state + rng.int(1, Math.max(1, stay.length - 1))) % stay.length;
    left = rng.exponential() * stay[state];
  }
  return out;
}
