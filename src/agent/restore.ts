/**
 * Restores streams after a restart: loads the saved state, then replays the newer stored samples through the same
 * push and tick as live samples. Publishes nothing during the replay. If the state belongs to another model or is damaged,
 * it is rebuilt from stored samples.
 */
import { GatecastError } from '../errors.ts';
import type { ForecastEngine, TickPace } from '../forecast/engine-contract.ts';
import { FUTURE_MS } from '../series/admission.ts';
import { isLive } from '../series/buckets.ts';
import type { StreamSpec } from '../series/spec.ts';
import type { Store, StoredSample } from '../store/store-contract.ts';
import { inPieces } from './history.ts';
import type { KnownStream } from './known-streams.ts';
import { markStored } from './marking.ts';

/** The store, with one scan over the samples of all streams in order of time. */
export interface ReplayStore extends Pick<Store, 'loadSnapshot' | 'samples' | 'mark' | 'sliceEnd'> {
  /** @param streams only theirs */
  since(fromMs: number, streams: readonly string[], toMs: number): Iterable<NamedSample>;
}

type NamedSample = StoredSample & { readonly stream: string };

interface RestoredStream {
  readonly name: string;
  /** `new`: the store had no state; `rebuilt`: the stored state was unusable. */
  readonly state: 'saved' | 'new' | 'rebuilt';
  /** Number of replayed samples. */
  replayed: number;
}

/** Shares the event loop between a long replay and other work. */
export interface RestorePace extends Required<Pick<TickPace, 'breathe'>> {
  /** Whether the replay is to end as soon as possible, because the agent stops. */
  readonly stopped: () => boolean;
}

/** The replay ended early. The engine has its streams with a part of their samples; the stored states are unchanged. */
export class RestoreStopped extends Error {}

/** Samples pushed between two pauses. */
const PUSHES_PER_BREATH = 1024;
/** Samples pushed between two ticks: limits the waiting buckets, but keeps the batches large. */
const PUSHES_PER_TICK = 8192;
/** Buckets of history used to rebuild a state. */
const REBUILD_BUCKETS = 4096;
const DAY = 86_400_000;
/** Assumed interval while it is being learnt, for the check of samples ahead of the clock, ms. */
const LEARNT_MS = 3_600_000;
/** While the interval is being learnt, the shortest of these spans with enough samples is used. */
const REBUILD_SPANS_MS = [DAY, 7 * DAY, 28 * DAY];
const REBUILD_SAMPLES = 512;

/**
 * @param nowMs current time: stored samples after it (from a clock that was ahead) are skipped, because they would close buckets whose time
 *   has not come. Infinity if the clock cannot be trusted
 * @param limits left out: nothing else runs meanwhile
 * @throws RestoreStopped
 */
export async function restoreStreams(
  engine: ForecastEngine,
  store: ReplayStore,
  streams: readonly KnownStream[],
  nowMs = Number.POSITIVE_INFINITY,
  limits?: RestorePace,
): Promise<RestoredStream[]> {
  const restored = streams.map((stream) => ({
    ...addStream(engine, store, stream),
    intervalMs: stream.spec.intervalMs,
    toMs: nowMs + FUTURE_MS + (stream.spec.intervalMs ?? LEARNT_MS),
  }));
  const byName = new Map(restored.map((stream) => [stream.name, stream]));
  const breathe = (): Promise<void> | undefined => {
    if (limits?.stopped() === true) throw new RestoreStopped();
    return limits?.breathe();
  };
  const pace: TickPace = { only: new Set(byName.keys()), breathe };
  let pushes = 0;
  for await (const samples of samplesOf(store, restored, breathe))
    for (const { stream, timeMs, value } of samples) {
      const target = byName.get(stream);
      if (target === undefined || timeMs < target.fromMs || timeMs > target.toMs) continue;
      // Without an arrival time: a saved state knows the delay. Where there is none, a recent reading shows that the stream is live, so
      // that it is forecast by the clock although it is silent.
      const isNews = target.state !== 'saved' && isLive(nowMs - timeMs, target.intervalMs);
      engine.push({ stream, timeMs, value, arrivalMs: isNews ? timeMs : Number.NaN });
      target.replayed++;
      if (++pushes % PUSHES_PER_BREATH === 0) await breathe();
      if (pushes % PUSHES_PER_TICK === 0) await tick(engine, store, pace);
    }
  if (pushes % PUSHES_PER_TICK > 0) await tick(engine, store, pace);
  return restored;
}

/**
 * A crash may have occurred between a bucket and its marks, so marks that are found again are set again.
 * @param pace `only` the restored streams: others are already running, and their forecasts must not be lost here
 */
async function tick(engine: ForecastEngine, store: ReplayStore, pace: TickPace): Promise<void> {
  await engine.tick(null, false, pace);
  for (const bucket of engine.marked()) markStored(store, bucket);
}

interface Started extends RestoredStream {
  /** Samples at or after this are not in the state, ms. */
  readonly fromMs: number;
}

function addStream(engine: ForecastEngine, store: ReplayStore, { spec, firstMs }: KnownStream): Started {
  const { name } = spec;
  const snapshot = store.loadSnapshot(name);
  if (snapshot === null) {
    engine.add(spec);
    return { name, state: 'new', replayed: 0, fromMs: firstMs };
  }
  try {
    engine.add(spec, snapshot);
    // Never before a reset: a state without closed buckets since then would replay all samples.
    return { name, state: 'saved', replayed: 0, fromMs: Math.max(firstMs, snapshot.replayFromMs) };
  } catch (error) {
    if (!(error instanceof GatecastError) || error.code !== 'STATE_MISMATCH') throw error;
    engine.add(spec);
    const fromMs = Math.max(firstMs, rebuildFrom(store, spec, snapshot.replayFromMs));
    return { name, state: 'rebuilt', replayed: 0, fromMs };
  }
}

function rebuildFrom(store: Pick<Store, 'samples'>, spec: StreamSpec, newestMs: number): number {
  if (spec.intervalMs !== null) return newestMs - REBUILD_BUCKETS * spec.intervalMs;
  for (const span of REBUILD_SPANS_MS) {
    let count = 0;
    for (const _ of store.samples(spec.name, newestMs - span)) if (++count >= REBUILD_SAMPLES) break;
    if (count >= REBUILD_SAMPLES) return newestMs - span;
  }
  return 0;
}

const earliestOf = (streams: readonly Started[]): number =>
  streams.reduce((earliest, { fromMs }) => Math.min(earliest, fromMs), Number.POSITIVE_INFINITY);

/** One scan for many streams, in pieces, because there may be few samples of these among many of others. */
function samplesOf(
  store: ReplayStore,
  streams: readonly Started[],
  breathe: () => Promise<void> | undefined,
): AsyncIterable<Iterable<NamedSample>> {
  const names = streams.filter((stream) => Number.isFinite(stream.fromMs)).map(({ name }) => name);
  const span = { fromMs: earliestOf(streams), toMs: Number.POSITIVE_INFINITY };
  return inPieces(span, store, (fromMs, toMs) => store.since(fromMs, names, toMs), breathe);
}
