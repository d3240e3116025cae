/** Ways to bring the same readings to an engine: as they come live, as a file, or across a restart. */
import type { Engine } from '../../src/forecast/engine.ts';
import type { Forecast } from '../../src/forecast/forecast.ts';
import type { Sample } from '../../src/series/sample.ts';
import { uniform } from './random.ts';

export interface Reading {
  readonly stream: string;
  readonly timeMs: number;
  readonly value: number;
}

/** What of a forecast must be the same however the readings came. */
export const essence = (forecast: Forecast) => ({
  ...forecast,
  quantiles: [...forecast.quantiles].join(' '),
});

/** Readings of one stream, one every `intervalMs` (the time is jittered within the bucket), NaN left out. */
export function readingsOf(
  stream: string,
  values: ArrayLike<number>,
  intervalMs: number,
  startMs: number,
  seed = 1,
): Reading[] {
  const next = uniform(seed);
  const readings: Reading[] = [];
  for (let t = 0; t < values.length; t++) {
    const timeMs = startMs + t * intervalMs + Math.floor(next() * intervalMs);
    if (!Number.isNaN(values[t])) readings.push({ stream, timeMs, value: values[t] });
  }
  return readings;
}

/** In time order, closed by newer readings alone. */
export async function inOrder(engine: Engine, readings: readonly Reading[]): Promise<Forecast[]> {
  for (const reading of [...readings].sort((a, b) => a.timeMs - b.timeMs))
    engine.push({ ...reading, arrivalMs: Number.NaN });
  return engine.tick(null, true);
}

export interface LiveOptions {
  /** Longest way from sensor to agent, ms; every reading has its own delay. */
  readonly delayMs: number;
  /** Time between two ticks, ms. */
  readonly tickMs: number;
  /** Share of readings that arrive twice. */
  readonly duplicates?: number;
  readonly seed: number;
}

/** In order of arrival, each with a delay of its own; the clock ticks all the while. */
export function arrivals(
  readings: readonly Reading[],
  { delayMs, duplicates = 0, seed }: LiveOptions,
): Sample[] {
  const next = uniform(seed);
  const samples: Sample[] = [];
  for (const reading of readings) {
    const delayed = () => ({ ...reading, arrivalMs: reading.timeMs + Math.floor(next() * delayMs) });
    samples.push(delayed());
    if (next() < duplicates) samples.push(delayed());
  }
  return samples.sort((a, b) => a.arrivalMs - b.arrivalMs);
}

export async function live(
  engine: Engine,
  samples: readonly Sample[],
  tickMs: number,
  untilMs = Number.NaN,
): Promise<Forecast[]> {
  const forecasts: Forecast[] = [];
  if (samples.length === 0) return forecasts;
  const endMs = Number.isNaN(untilMs) ? samples[samples.length - 1].arrivalMs : untilMs;
  let next = 0;
  // On whole multiples, so that two runs of the same readings tick together.
  for (let nowMs = Math.ceil(samples[0].arrivalMs / tickMs) * tickMs; ; nowMs += tickMs) {
    while (next < samples.length && samples[next].arrivalMs <= nowMs) engine.push(samples[next++]);
    forecasts.push(...(await engine.tick(nowMs, true)));
    if (nowMs >= endMs) return forecasts;
  }
}
