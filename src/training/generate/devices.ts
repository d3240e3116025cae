/**
 * Small simulations of things that sensors sit on: thermostats, fridges, tanks, soil, sun, wind, rooms, meters.
 * Each returns one value a bucket in arbitrary units; the mixture scales, shifts and damages them. Pure.
 */
import {
  bucketsOf,
  dayNumber,
  dayPhase,
  type Frame,
  fraction,
  HOUR_MS,
  MINUTE_MS,
  make,
  standardise,
  yearPhase,
} from './frame.ts';
import { clustered, meanReverting, smoothReverting, states } from './noise.ts';
import { bumps, daySeason, hasDays } from './seasons.ts';

/** A two-point controller with leak to its surroundings: fridge, freezer, boiler, room heating. Temperature or power. */
export function thermostat(frame: Frame): Float64Array {
  const { rng } = frame;
  const period = Math.max(3, Math.min(frame.steps / 8, rng.logRange(4, 240)));
  const duty = rng.range(0.12, 0.85);
  const fall = 1 / (period * duty);
  const rise = 1 / (period * (1 - duty));
  const outside = hasDays(frame) ? daySeason(frame) : meanReverting(frame, period * 20);
  const influence = rng.range(0, 0.4);
  const lag = rng.chance(0.6) ? rng.range(0.02, 0.3) * period : 0;
  const power = rng.chance(0.35);
  const opening = rng.chance(0.5) ? rng.logRange(0.0005, 0.01) : 0;
  const noise = rng.logRange(0.005, 0.15);
  const defrost = rng.chance(0.2) ? period * rng.range(8, 40) : 0;
  let level = rng.uniform();
  let sensed = level;
  let on = rng.chance(duty);
  return make(frame, (t) => {
    const load = Math.max(0.2, 1 + influence * outside[t]);
    level += on ? -fall / Math.sqrt(load) : rise * load;
    if (opening && rng.chance(opening)) level += rng.exponential() * 0.8;
    if (defrost && t % Math.round(defrost) < period * 0.4) level += rise * 1.5;
    if (level > 1) on = true;
    else if (level < 0) on = false;
    sensed += (level - sensed) / (1 + lag);
    return power ? (on ? load : 0.02) + noise * rng.normal() * 0.3 : sensed + noise * rng.normal();
  });
}

/** Mains power of a household or machine: base, cycling and used appliances, with day profile. */
export function appliances(frame: Frame): Float64Array {
  const { rng } = frame;
  const total = make(frame, () => rng.range(0.05, 0.1));
  const profile = bumps(rng);
  for (let k = rng.int(2, 6); k > 0; k--) {
    const stay = bucketsOf(frame, rng.logRange(2, 180) * MINUTE_MS, 1);
    const rate = 1 / (stay * rng.logRange(1.5, 30));
    const size = rng.logRange(0.1, 3);
    let left = 0;
    for (let t = 0; t < frame.steps; t++) {
      const wish = Math.max(0.02, 0.4 + 0.4 * profile(dayPhase(frame, t)));
      if (left <= 0 && rng.chance(Math.min(0.5, rate * wish))) {
        left = Math.max(1, stay * (0.3 + rng.exponential() * 0.7));
      }
      if (left > 0) total[t] += size * Math.min(1, left) * (1 + 0.05 * rng.normal());
      left -= 1;
    }
  }
  return total;
}

/** Sunlight or photovoltaic power: a clipped arc whose length follows the year, times the weather of the day. */
export function solar(frame: Frame): Float64Array {
  const { rng } = frame;
  const latitude = rng.range(-0.9, 0.9);
  const cloud = smoothReverting(frame, bucketsOf(frame, rng.logRange(0.3, 10) * HOUR_MS, 1));
  const gust = meanReverting(frame, 2);
  const flicker = rng.range(0, 0.35);
  const clouding = rng.range(0.2, 1.4);
  const noon = rng.range(0.46, 0.56);
  const limit = rng.chance(0.25) ? rng.range(0.4, 0.8) : 9;
  const dark = rng.chance(0.3) ? rng.range(0, 0.03) : 0;
  return make(frame, (t) => {
    const tilt = 0.409 * Math.sin(2 * Math.PI * (yearPhase(frame, t) - 0.22));
    const hour = 2 * Math.PI * (dayPhase(frame, t) - noon);
    const height = Math.sin(latitude) * Math.sin(tilt) + Math.cos(latitude) * Math.cos(tilt) * Math.cos(hour);
    if (height <= 0) return dark;
    const thick = 1 / (1 + Math.exp(-(cloud[t] - 0.3) * 2.5 * clouding));
    const shade = 1 - Math.min(0.95, clouding * 0.65 * thick);
    const value = height ** 1.15 * Math.max(0.03, shade * (1 + flicker * thick * gust[t]));
    return Math.min(limit, Math.max(dark, value));
  });
}

/** Wind speed through a turbine's power curve (or the speed itself). */
export function wind(frame: Frame): Float64Array {
  const { rng } = frame;
  const weather = smoothReverting(frame, bucketsOf(frame, rng.logRange(4, 40) * HOUR_MS, 2));
  const gusts = meanReverting(frame, rng.range(1, 5));
  const turbulence = rng.range(0.03, 0.25);
  const mean = rng.range(0.35, 0.8);
  const curve = rng.chance(0.7);
  return make(frame, (t) => {
    const speed = Math.max(0, mean * Math.exp(0.55 * weather[t]) * (1 + turbulence * gusts[t]));
    return curve ? 1 / (1 + Math.exp(-9 * (speed - 0.75))) - 0.0012 : speed;
  });
}

/** A tank or battery: drains with use, refilled at a level or at a time; also soil moisture with rain. */
export function tank(frame: Frame): Float64Array {
  const { rng } = frame;
  const use = hasDays(frame) ? daySeason(frame) : clustered(frame);
  const lasts = rng.logRange(10, Math.max(20, frame.steps / 3));
  const refill = rng.range(1, Math.max(1.5, lasts / 8));
  const low = rng.range(0.05, 0.4);
  const decay = rng.chance(0.4);
  const random = rng.chance(0.4);
  const noise = rng.logRange(0.001, 0.03);
  let level = rng.range(low, 1);
  let filling = false;
  return make(frame, (t) => {
    if (random ? rng.chance(1 / lasts) : level < low) filling = true;
    if (filling) {
      level += (1 - low) / refill;
      if (level >= 1 || (random && rng.chance(0.3))) filling = false;
    } else {
      level -= ((decay ? level : 1) * Math.max(0, 1 + 0.5 * use[t])) / lasts;
    }
    level = Math.max(0, Math.min(1, level));
    return level + noise * rng.normal();
  });
}

/** People in a room, and what follows them: presence, CO2, humidity or warmth with a lag. */
export function occupancy(frame: Frame): Float64Array {
  const { rng } = frame;
  const opens = rng.range(0.25, 0.45);
  const closes = rng.range(0.6, 0.9);
  const weekends = rng.chance(0.3);
  const stay = bucketsOf(frame, rng.logRange(10, 180) * MINUTE_MS, 2);
  const away = bucketsOf(frame, rng.logRange(10, 240) * MINUTE_MS, 2);
  const most = rng.int(1, 6);
  const lag = rng.chance(0.3) ? 0 : bucketsOf(frame, rng.logRange(5, 120) * MINUTE_MS, 1);
  const noise = rng.logRange(0.002, 0.06);
  let people = 0;
  let air = 0;
  return make(frame, (t) => {
    const phase = dayPhase(frame, t);
    const day = dayNumber(frame, t) % 7;
    const open = phase > opens && phase < closes && (weekends || day < 5);
    if (open && people < most && rng.chance(Math.min(0.9, 1 / away))) people++;
    if (people > 0 && rng.chance(Math.min(0.9, (open ? people : 4 * people) / stay))) people--;
    air += (people - air) / (1 + lag);
    return air + noise * rng.normal();
  });
}

/** Events counted per bucket (delta of a counter) or a demand that is mostly zero. */
export function counts(frame: Frame): Float64Array {
  const { rng } = frame;
  const season = hasDays(frame) ? daySeason(frame) : meanReverting(frame, rng.logRange(20, 500));
  const mean = rng.logRange(0.05, 60);
  const strength = rng.range(0.2, 1);
  const lumps = rng.chance(0.3) ? rng.logRange(1, 12) : 0;
  const burst = meanReverting(frame, rng.logRange(2, 60));
  const bursts = rng.range(0, 0.6);
  return make(frame, (t) => {
    const count = rng.poisson(Math.min(1e4, mean * Math.exp(strength * season[t] + bursts * burst[t])));
    return lumps ? count * (1 + Math.floor(rng.exponential() * lumps)) : count;
  });
}

/** An ever rising counter that wraps or is reset now and then: uptime, kWh, packets, rain. */
export function counter(frame: Frame): Float64Array {
  const { rng } = frame;
  const rate = hasDays(frame) ? daySeason(frame) : meanReverting(frame, 50);
  const wrap = rng.chance(0.5)
    ? (frame.steps / rng.range(1, 6)) * rng.range(0.7, 1.3)
    : Number.POSITIVE_INFINITY;
  const reset = rng.chance(0.4) ? rng.range(1, 3) / frame.steps : 0;
  let total = rng.range(0, 1000);
  return make(frame, (t) => {
    total += Math.max(0, 1 + 0.8 * rate[t]) * (rng.chance(0.2) ? 0 : 1);
    if (total > wrap || rng.chance(reset)) total = 0;
    return total;
  });
}

/** A server: load with noise, jobs at fixed times, bursts and slow leaks that a restart ends. */
export function server(frame: Frame): Float64Array {
  const { rng } = frame;
  const season = hasDays(frame) ? standardise(daySeason(frame)) : meanReverting(frame, 200);
  const noise = clustered(frame);
  const every = bucketsOf(frame, rng.pick([5, 10, 15, 60, 360, 1440]) * MINUTE_MS, 4);
  const offset = rng.int(0, every);
  const length = Math.max(1, Math.round(every * rng.range(0.02, 0.3)));
  const job = rng.chance(0.7) ? rng.range(0.5, 5) : 0;
  const bursts = rng.logRange(0.0005, 0.02);
  const weight = rng.range(0, 1);
  const leak = rng.chance(0.25) ? rng.range(1, 5) / frame.steps : 0;
  let burst = 0;
  let leaked = 0;
  return make(frame, (t) => {
    if (rng.chance(bursts)) burst += rng.exponential() * 4;
    burst *= 0.8;
    leaked = rng.chance(leak * 0.5) ? 0 : leaked + leak;
    const running = (t + offset) % every < length ? job * (1 + 0.1 * rng.normal()) : 0;
    return 2 + weight * season[t] + 0.25 * noise[t] + running + burst + leaked * 3;
  });
}

/** A machine with working states: each has its level, noise, and perhaps a vibration. */
export function regimes(frame: Frame): Float64Array {
  const { rng } = frame;
  const kinds = Array.from({ length: rng.int(2, 4) }, () => ({
    level: rng.normal() * 2,
    noise: rng.logRange(0.02, 0.8),
    swing: rng.chance(0.5) ? rng.logRange(0.1, 1) : 0,
    period: rng.logRange(4, 80),
    stay: rng.logRange(15, Math.max(40, frame.steps / 4)),
  }));
  const path = states(
    frame,
    kinds.map((kind) => kind.stay),
  );
  const noise = meanReverting(frame, rng.logRange(0.3, 10));
  const inertia = rng.chance(0.5) ? rng.logRange(1, 30) : 0;
  let level = kinds[path[0]].level;
  return make(frame, (t) => {
    const kind = kinds[path[t]];
    level += (kind.level - level) / (1 + inertia);
    return level + kind.noise * noise[t] + kind.swing * Math.sin(2 * Math.PI * fraction(t / kind.period));
  });
}

/** Outdoor temperature or humidity: weather fronts, a day season that clouds damp, a slope of the year. */
export function weather(frame: Frame): Float64Array {
  const { rng } = frame;
  const fronts = smoothReverting(frame, bucketsOf(frame, rng.range(12, 72) * HOUR_MS, 4));
  const clouds = smoothReverting(frame, bucketsOf(frame, rng.range(6, 24) * HOUR_MS, 2));
  const small = meanReverting(frame, bucketsOf(frame, rng.logRange(5, 60) * MINUTE_MS, 1));
  const dayScale = rng.range(0.3, 1.6);
  const noise = rng.logRange(0.01, 0.2);
  const peak = rng.range(0.55, 0.65);
  const sharp = rng.range(0, 0.4);
  const bound = rng.chance(0.2);
  return make(frame, (t) => {
    const phase = 2 * Math.PI * (dayPhase(frame, t) - peak);
    const arc = Math.cos(phase) + sharp * Math.cos(2 * phase);
    const season = 2 * Math.cos(2 * Math.PI * (yearPhase(frame, t) - 0.55));
    const value =
      season + fronts[t] + dayScale * arc * Math.exp(-0.5 * Math.abs(clouds[t])) + noise * small[t];
    return bound ? Math.tanh(value * 0.6) : value;
  });
}
