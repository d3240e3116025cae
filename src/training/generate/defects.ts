/** What happens to a clean signal on its way: spikes, steps, quantised and saturated readings, stuck sensors, gaps. Pure. */
import type { Frame } from './frame.ts';

/** Lasting jumps of level, or of slope. Unit: standard deviations of the signal. */
export function shiftLevels(frame: Frame, x: Float64Array): void {
  const { rng } = frame;
  for (let k = rng.int(1, 3); k > 0; k--) {
    const at = rng.int(0, x.length - 1);
    const jump = rng.normal() * 1.5;
    const slope = rng.chance(0.3) ? (rng.normal() * 2) / x.length : 0;
    const until = rng.chance(0.3) ? at + rng.int(10, x.length) : x.length;
    for (let t = at; t < Math.min(until, x.length); t++) x[t] += jump + slope * (t - at);
  }
}

/** Single readings far off, either side or one side only. */
export function spike(frame: Frame, x: Float64Array): void {
  const { rng } = frame;
  const rate = rng.logRange(0.0005, 0.01);
  const oneSided = rng.chance(0.5);
  for (let t = 0; t < x.length; t++) {
    if (rng.chance(rate)) x[t] += (oneSided ? 1 : Math.sign(rng.normal())) * rng.range(2, 8);
  }
}

/** A step of resolution, as of a 0.1 degree sensor or a 4-bit gauge. */
export function quantise(frame: Frame, x: Float64Array): void {
  const size = frame.rng.logRange(0.02, 0.8);
  for (let t = 0; t < x.length; t++) x[t] = Math.round(x[t] / size) * size;
}

/** The sensor's range ends inside the signal's. */
export function saturate(frame: Frame, x: Float64Array): void {
  const { rng } = frame;
  const high = rng.chance(0.6) ? rng.range(0.8, 2.5) : Number.POSITIVE_INFINITY;
  const low = rng.chance(0.6) ? -rng.range(0.8, 2.5) : Number.NEGATIVE_INFINITY;
  for (let t = 0; t < x.length; t++) x[t] = Math.min(high, Math.max(low, x[t]));
}

/** The last reading is repeated for a while. */
export function stick(frame: Frame, x: Float64Array): void {
  const { rng } = frame;
  for (let k = rng.int(1, 3); k > 0; k--) {
    const at = rng.int(0, x.length - 1);
    const until = Math.min(x.length, at + Math.round(rng.logRange(3, Math.max(6, x.length / 12))));
    x.fill(x[at], at, until);
  }
}

/** Only changes larger than a threshold are reported (send on delta): in between, nothing arrives or the last is held. */
export function sendOnDelta(frame: Frame, x: Float64Array): void {
  const { rng } = frame;
  const least = rng.range(0.05, 0.5);
  const hold = rng.chance(0.6);
  const heartbeat = rng.int(6, 120);
  let last = Number.NaN;
  let since = 0;
  for (let t = 0; t < x.length; t++) {
    since++;
    if (Number.isNaN(last) || Math.abs(x[t] - last) > least || since >= heartbeat) {
      last = x[t];
      since = 0;
    } else x[t] = hold ? last : Number.NaN;
  }
}

/** Losses: single readings, bursts of a bad radio, long outages, a slow duty of every n-th bucket, missing zeros. */
export function losses(frame: Frame, x: Float64Array): void {
  const { rng } = frame;
  const kind = rng.weighted([4, 4, 3, 1, 1]);
  if (kind === 0) {
    const rate = rng.logRange(0.003, 0.4);
    for (let t = 0; t < x.length; t++) if (rng.chance(rate)) x[t] = Number.NaN;
  } else if (kind === 1) {
    const bad = rng.logRange(0.001, 0.02);
    const good = rng.logRange(0.03, 0.5);
    let lost = false;
    for (let t = 0; t < x.length; t++) {
      lost = lost ? !rng.chance(good) : rng.chance(bad);
      if (lost) x[t] = Number.NaN;
    }
  } else if (kind === 2) {
    for (let k = rng.int(1, 4); k > 0; k--) {
      const at = rng.int(0, x.length - 1);
      x.fill(
        Number.NaN,
        at,
        Math.min(x.length, at + Math.round(rng.logRange(10, Math.max(20, x.length / 6)))),
      );
    }
  } else if (kind === 3) {
    const every = rng.int(2, 5);
    const from = rng.chance(0.5) ? 0 : rng.int(0, x.length - 1);
    for (let t = from; t < x.length; t++) if (t % every !== 0) x[t] = Number.NaN;
  } else {
    const edge = rng.range(-1, 0.5);
    for (let t = 0; t < x.length; t++) if (x[t] < edge && rng.chance(0.7)) x[t] = Number.NaN;
  }
}
