/**
 * Past forecasts of a stream at any lead, for its chart: replays stored readings through an engine of its own with the model in
 * use. The forecasts are those that this model would have made, with each forecast made from earlier readings only. See
 * docs/decisions/0030-past-forecasts-by-replay.md.
 */
import { Engine } from '../forecast/engine.ts';
import type { StreamView } from '../forecast/engine-contract.ts';
import type { Forecast } from '../forecast/forecast.ts';
import type { Model } from '../forecast/model.ts';
import { MEDIAN, Q } from '../quantiles.ts';
import type { StreamSpec } from '../series/spec.ts';
import type { Store } from '../store/store-contract.ts';
import type { PastForecast } from '../web/past-forecasts.ts';
import type { ReplayedPast } from '../web/views.ts';
import { inPieces, samplesOf } from './history.ts';

const MOST_SHOWN = 400;
/** Buckets before the first shown forecast, from which the engine learns seasons, scores and calibration. */
const WARM_UP = 600;
/** Samples pushed between two runs of the engine. */
const PUSHES_PER_TICK = 256;
/** The replay ends after this time, with the forecasts made so far, ms. */
const MOST_MS = 20_000;
/** The replay pauses after this much work for as long as the work took, so that it takes at most half of a core, ms. */
const WORK_MS = 10;

interface ReplaySource {
  readonly engine: Pick<Engine, 'streamsInUse' | 'tables'>;
  /** Null: only the naive forecasters. */
  readonly model: Model | null;
  readonly store: Pick<Store, 'samples' | 'sliceEnd'>;
}

interface ReplayRequest {
  readonly stream: string;
  /** In steps. */
  readonly lead: number;
  /** Span of the buckets to forecast, ms; of a longer one, the newest buckets. */
  readonly fromMs: number;
  readonly toMs: number;
}

interface ReplayPace {
  readonly monotonic: () => number;
  readonly sleep: (ms: number) => Promise<void>;
}

/** The stream, the streams that it names as covariates, and those that these name; in the order of `all`. */
export function seenBy<T extends { readonly spec: StreamSpec }>(own: T, all: readonly T[]): T[] {
  const found = new Set([own]);
  for (const { spec } of found) {
    for (const { kind, name } of spec.covariates ?? []) {
      const one = kind === 'stream' ? all.find((other) => other.spec.name === name) : undefined;
      if (one !== undefined) found.add(one);
    }
  }
  return all.filter((one) => found.has(one));
}

/** Points ascending by time; none for a lead beyond the horizon, and while the stream learns its interval. */
export async function replayPast(
  { engine: live, model, store }: ReplaySource,
  { stream, lead, fromMs, toMs }: ReplayRequest,
  pace: ReplayPace,
): Promise<Omit<ReplayedPast, 'trainedToMs'>> {
  const all = live.streamsInUse();
  const own = all.find(({ spec }) => spec.name === stream);
  const { intervalMs = null, horizonSteps = null, lastObservedMs = null } = own ?? {};
  if (own === undefined || intervalMs === null || horizonSteps === null || lead > horizonSteps)
    return { points: [], complete: true };
  const endMs = Math.ceil(Math.min(toMs, lastObservedMs ?? toMs) / intervalMs) * intervalMs;
  const startMs = Math.max(Math.floor(fromMs / intervalMs) * intervalMs, endMs - MOST_SHOWN * intervalMs);

  const points: PastForecast[] = [];
  const collect = (forecast: Forecast): void => {
    const timeMs = forecast.originMs + lead * forecast.stepMs;
    if (forecast.stream !== stream || timeMs < startMs || timeMs > endMs) return;
    const [p10 = 0, p50 = 0, p90 = 0] = [0, MEDIAN, Q - 1].map(
      (column) => forecast.quantiles[(lead - 1) * Q + column],
    );
    points.push({ timeMs, p10, p50, p90 });
  };
  const engine = new Engine(model, { watch: { forecast: collect } });
  try {
    const streams = seenBy(own, all);
    for (const view of streams) engine.add(specOf(view));
    for (const { name, points } of live.tables()) engine.know(name, points);
    const span = { fromMs: startMs - (lead + WARM_UP) * intervalMs, toMs: endMs + intervalMs };
    return { points, complete: await play(engine, store, streams, span, pace) };
  } finally {
    await engine.release();
  }
}

/** A learnt interval is not learnt again. */
const specOf = ({ spec, intervalMs }: StreamView): StreamSpec => ({ ...spec, intervalMs });

/** @returns false if its time ran out before the end of the span */
async function play(
  engine: Engine,
  store: Pick<Store, 'samples' | 'sliceEnd'>,
  streams: readonly StreamView[],
  span: { readonly fromMs: number; readonly toMs: number },
  { monotonic, sleep }: ReplayPace,
): Promise<boolean> {
  const endMs = monotonic() + MOST_MS;
  let begunMs = monotonic();
  const pause = async (): Promise<void> => {
    const workedMs = monotonic() - begunMs;
    if (workedMs < WORK_MS) return;
    await sleep(workedMs);
    begunMs = monotonic();
  };
  const stopped = (): boolean => monotonic() > endMs;
  const read = (fromMs: number, toMs: number) => samplesOf(store, streams, fromMs, toMs);
  let pushes = 0;
  for await (const samples of inPieces(span, store, read, pause)) {
    // A piece may have too few samples of these streams for a tick.
    if (stopped()) return false;
    for (const { stream, timeMs, value } of samples) {
      engine.push({ stream, timeMs, value, arrivalMs: Number.NaN });
      if (++pushes % PUSHES_PER_TICK > 0) continue;
      await engine.tick(null, false, { breathe: pause, stopped });
      if (stopped()) return false;
    }
  }
  await engine.tick(null, false, { breathe: pause, stopped });
  return !stopped();
}
