/**
 * The mixture of generated series the base model learns from: a recipe of components, a unit, and the damage of the
 * field. Seeded: the same seed gives the same series on every machine. Pure.
 */
import { Random } from '../random.ts';
import * as defects from './defects.ts';
import * as devices from './devices.ts';
import {
  bucketsOf,
  DAY_MS,
  type Frame,
  type GeneratedSeries,
  HOUR_MS,
  MINUTE_MS,
  make,
  standardise,
} from './frame.ts';
import { anyNoise, arma, clustered, meanReverting, smooth, smoothReverting, walk } from './noise.ts';
import { daySeason, freeCycle, hasDays, tide, yearSeason } from './seasons.ts';

export type { GeneratedSeries } from './frame.ts';

type Recipe = (frame: Frame) => Float64Array;

/** Level, trend, seasons and noise in random shares: the classical additive picture. */
function composed(frame: Frame): Float64Array {
  const { rng, steps } = frame;
  const out = new Float64Array(steps);
  const add = (part: Float64Array, size: number) => {
    for (let t = 0; t < steps; t++) out[t] += part[t] * size;
  };
  if (hasDays(frame)) add(daySeason(frame), rng.range(0.3, 1.5));
  if (!hasDays(frame) || rng.chance(0.25)) {
    for (let k = rng.int(0, 2); k > 0; k--) {
      add(freeCycle(frame, rng.logRange(5, Math.max(12, steps / 6))), rng.range(0.2, 1));
    }
  }
  if (rng.chance(0.3)) add(smooth(frame, steps / rng.range(2, 20)), rng.range(0.2, 1.5));
  if (rng.chance(0.3))
    add(
      make(frame, (t) => t / steps - 0.5),
      rng.normal() * 2,
    );
  if (rng.chance(0.2)) add(walk(frame), rng.range(0.2, 1.5));
  if (rng.chance(0.3)) add(yearSeason(frame), rng.range(0.2, 1.5));
  add(anyNoise(frame), rng.logRange(0.02, 1));
  if (rng.chance(0.3)) {
    // Multiplicative: seasons and noise grow with the level.
    standardise(out);
    const strength = rng.range(0.2, 0.9);
    for (let t = 0; t < steps; t++) out[t] = Math.exp(strength * out[t]);
  }
  return out;
}

/** A period of the process's own, clean or noisy: vibration, pumps, rotating parts. */
function cyclic(frame: Frame): Float64Array {
  const { rng, steps } = frame;
  const out = freeCycle(frame, rng.logRange(4, Math.max(10, steps / 5)));
  const noise = anyNoise(frame);
  const size = rng.logRange(0.01, 1);
  for (let t = 0; t < steps; t++) out[t] += size * noise[t];
  return out;
}

function water(frame: Frame): Float64Array {
  const out = tide(frame);
  const surge = smoothReverting(frame, bucketsOf(frame, frame.rng.range(6, 48) * HOUR_MS, 4));
  const size = frame.rng.range(0.05, 0.6);
  for (let t = 0; t < out.length; t++) out[t] += size * surge[t];
  return out;
}

const RECIPES: Record<string, { weight: number; needsDays?: boolean; make: Recipe }> = {
  composed: { weight: 6, make: composed },
  cyclic: { weight: 2, make: cyclic },
  weather: { weight: 3, make: devices.weather },
  thermostat: { weight: 3, make: devices.thermostat },
  appliances: { weight: 3, make: devices.appliances },
  solar: { weight: 2, needsDays: true, make: devices.solar },
  wind: { weight: 2, make: devices.wind },
  tank: { weight: 2, make: devices.tank },
  occupancy: { weight: 2, needsDays: true, make: devices.occupancy },
  counts: { weight: 2, make: devices.counts },
  counter: { weight: 1, make: devices.counter },
  server: { weight: 3, make: devices.server },
  regimes: { weight: 2, make: devices.regimes },
  water: { weight: 1, needsDays: true, make: water },
  arma: { weight: 2, make: arma },
  walk: { weight: 1.5, make: walk },
  reverting: { weight: 1.5, make: (frame) => meanReverting(frame, frame.rng.logRange(1, 300)) },
  clustered: { weight: 0.5, make: clustered },
};

export const RECIPE_NAMES: readonly string[] = Object.keys(RECIPES);

const SECONDS = [
  1, 1, 2, 5, 10, 10, 15, 30, 60, 60, 120, 300, 300, 600, 600, 900, 900, 1200, 1800, 3600, 3600, 3600,
];

interface GenerateOptions {
  /** Buckets. */
  readonly steps: number;
  /** Bucket length, ms; chosen from 1 s .. 1 h where not given. */
  readonly intervalMs?: number;
  /** One of RECIPE_NAMES; chosen where not given. */
  readonly recipe?: string;
  /** false: no gaps, spikes, quantisation or stuck readings. */
  readonly damage?: boolean;
}

/** One series; `rng` alone decides what is not given. Every value is finite or NaN (a gap), and at least one is finite. */
export function generateSeries(rng: Random, options: GenerateOptions): GeneratedSeries {
  const intervalMs = options.intervalMs ?? rng.pick(SECONDS) * 1000;
  // Between 2012 and 2030, and often on local time that differs from UTC.
  const startMs =
    Math.floor((Date.UTC(2012, 0, 1) + rng.uniform() * 18 * 365.25 * DAY_MS) / intervalMs) * intervalMs;
  const zoneMs = rng.chance(0.6) ? 0 : rng.int(-11, 12) * HOUR_MS + (rng.chance(0.2) ? 30 * MINUTE_MS : 0);
  const frame: Frame = { rng, steps: options.steps, intervalMs, startMs, zoneMs };
  const names = RECIPE_NAMES.filter((name) => !RECIPES[name].needsDays || hasDays(frame));
  const name = options.recipe ?? names[rng.weighted(names.map((one) => RECIPES[one].weight))];
  const recipe = RECIPES[name];
  if (!recipe) throw new RangeError(`unknown recipe '${name}'`);
  const x = standardise(recipe.make(frame));
  if (options.damage ?? true) damage(frame, x, name);
  return { name, intervalMs, startMs, values: inUnits(rng, x) };
}

function damage(frame: Frame, x: Float64Array, name: string): void {
  const { rng } = frame;
  if (rng.chance(0.12)) defects.shiftLevels(frame, x);
  if (rng.chance(0.1)) defects.spike(frame, x);
  if (rng.chance(0.12) && name !== 'counter') defects.saturate(frame, x);
  if (rng.chance(0.3)) defects.quantise(frame, x);
  if (rng.chance(0.06)) defects.stick(frame, x);
  if (rng.chance(0.05)) defects.sendOnDelta(frame, x);
  if (rng.chance(0.35)) defects.losses(frame, x);
}

/** Any unit: sizes from milli to hundred thousands, any offset, sometimes upside down. */
function inUnits(rng: Random, x: Float64Array): Float32Array {
  const scale = rng.logRange(1e-2, 1e4) * (rng.chance(0.1) ? -1 : 1);
  let least = Number.POSITIVE_INFINITY;
  for (const value of x) if (value < least) least = value;
  // A third of all sensors sit on zero (power, counts, light); the others anywhere.
  const offset = rng.chance(0.35) ? -least : rng.normal() * rng.logRange(0.5, 50);
  const out = new Float32Array(x.length);
  let finite = 0;
  for (let t = 0; t < x.length; t++) {
    out[t] = (x[t] + offset) * scale;
    if (Number.isFinite(out[t])) finite++;
  }
  if (finite === 0) out[0] = 0;
  return out;
}

/**
 * `count` series of `steps` buckets each, named `<recipe>-<number>`. Series k depends on (seed, k) alone, so that a
 * larger mixture begins with the smaller one.
 */
export function generateMixture(seed: number, count: number, steps: number): GeneratedSeries[] {
  const root = new Random(seed);
  return Array.from({ length: count }, (_, k) => {
    const series = generateSeries(root.child(), { steps });
    return { ...series, name: `${series.name}-${k}` };
  });
}
