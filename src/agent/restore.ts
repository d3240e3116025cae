/**
 * Restores streams after a restart: loads the saved state, then replays the newer stored samples through the same
 * push and tick as live samples. Publishes nothing during the replay. If the state belongs to another model or is damaged,
 * it is rebuilt from stored samples.
 */
import { GatecastError } from '../errors.ts';
import type { ForecastEngine, StreamSnapshot, TickPace } from '../forecast/engine-contract.ts';
import { FUTURE_MS } from '../series/admission.ts';
import { isLive } from '../series/buckets.ts';
import type { Store } from '../store/store-contract.ts';
import { inPieces } from './history.ts';
import type { KnownStream } from './known-streams.ts';
import { markStored } from './marking.ts';
import { type ReplaySample, ReplayScan, type ReplayStart, type ScannedStore } from './replay-scan.ts';

/** The store, with scans over the samples of all streams in order of time. */
export interface ReplayStore
  extends Pick<Store, 'loadSnapshot' | 'samples' | 'mark' | 'sliceEnd'>,
    ScannedStore {}

type NamedSample = ReplaySample & { readonly stream: string };

export interface Restorable extends KnownStream {
  /** Left out: found by loading the state. */
  readonly start?: ReplayStart;
  /** Its samples from the start on, ascending by time, if they have been read. */
  readonly samples?: readonly ReplaySample[];
}

interface RestoredStream {
  readonly name: string;
  readonly state: ReplayStart['state'];
  readonly start: ReplayStart;
  /** It is not in the engine, because its replay must begin earlier than the samples that were read. */
  readonly postponed: boolean;
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

/**
 * @param nowMs current time: stored samples after it (from a clock that was ahead) are skipped, because they would close buckets whose time
 *   has not come. Infinity if the clock cannot be trusted
 * @param limits left out: nothing else runs meanwhile
 * @throws RestoreStopped
 */
export async function restoreStreams(
  engine: ForecastEngine,
  store: ReplayStore,
  streams: readonly Restorable[],
  nowMs = Number.POSITIVE_INFINITY,
  limits?: RestorePace,
): Promise<RestoredStream[]> {
  const breathe = (): Promise<void> | undefined => {
    if (limits?.stopped() === true) throw new RestoreStopped();
    return limits?.breathe();
  };
  const restored: Started[] = [];
  for (const stream of streams) {
    restored.push(started(engine, store, stream, nowMs));
    await breathe();
  }
  const usable = restored.filter(({ postponed }) => !postponed);
  await findStarts(store, usable, breathe);
  const byName = new Map(usable.map((stream) => [stream.name, stream]));
  const pace: TickPace = { only: new Set(byName.keys()), breathe };
  let pushes = 0;
  for await (const samples of samplesOf(store, usable, breathe))
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
  readonly samples: readonly ReplaySample[] | null;
  /** Samples at or after this are not in the state, ms. */
  fromMs: number;
  readonly toMs: number;
  readonly intervalMs: number | null;
}

/** Adds the stream to the engine, with its saved state if that is of use. */
function started(engine: ForecastEngine, store: ReplayStore, stream: Restorable, nowMs: number): Started {
  const { spec, samples = null } = stream;
  const start = addStream(engine, store, stream);
  const fromMs = start.fromMs.at(-1) ?? 0;
  const postponed = samples !== null && stream.start?.fromMs.every((ms) => fromMs < ms) === true;
  if (postponed) engine.remove(spec.name);
  const { intervalMs } = spec;
  return {
    name: spec.name,
    state: start.state,
    start,
    postponed,
    replayed: 0,
    samples,
    fromMs,
    toMs: nowMs + FUTURE_MS + (intervalMs ?? LEARNT_MS),
    intervalMs,
  };
}

/**
 * A state from before the stream's first sample could not be deleted: it is of another that had the name, or from before a reset.
 * One without buckets has nothing of another.
 */
const isOwn = ({ replayFromMs }: Pick<StreamSnapshot, 'replayFromMs'>, firstMs: number): boolean =>
  replayFromMs === 0 || replayFromMs > firstMs;

function addStream(engine: ForecastEngine, store: ReplayStore, stream: Restorable): ReplayStart {
  const { spec, start } = stream;
  const snapshot = start === undefined || start.state === 'saved' ? store.loadSnapshot(spec.name) : null;
  if (snapshot === null || !isOwn(snapshot, stream.firstMs)) {
    engine.add(spec);
    return start === undefined || start.state === 'saved' ? startOf(stream, null, null) : start;
  }
  try {
    engine.add(spec, snapshot);
    return startOf(stream, snapshot, snapshot.modelHash);
  } catch (error) {
    if (!(error instanceof GatecastError) || error.code !== 'STATE_MISMATCH') throw error;
    engine.add(spec);
    return startOf(stream, snapshot, null);
  }
}

/**
 * Where the replay of a stream begins.
 * @param saved its newest state; null if there is none
 * @param modelHash of the engine: the state of another model is of no use; null: no state is
 */
export function startOf(
  { spec, firstMs }: KnownStream,
  saved: Pick<StreamSnapshot, 'modelHash' | 'replayFromMs'> | null,
  modelHash: string | null,
): ReplayStart {
  if (saved === null) return { state: 'new', fromMs: [firstMs], closedToMs: Number.NEGATIVE_INFINITY };
  // Never before a reset: a state without closed buckets since then would replay all samples.
  const after = (ms: number): number => Math.max(firstMs, ms);
  const { replayFromMs } = saved;
  if (saved.modelHash === modelHash)
    return { state: 'saved', fromMs: [after(replayFromMs)], closedToMs: replayFromMs };
  const spansMs =
    spec.intervalMs === null
      ? [...REBUILD_SPANS_MS, Number.POSITIVE_INFINITY]
      : [REBUILD_BUCKETS * spec.intervalMs];
  const fromMs = spansMs.map((spanMs) => after(Math.max(0, replayFromMs - spanMs)));
  return { state: 'rebuilt', fromMs, closedToMs: replayFromMs };
}

/** Chooses among several possible starts, with one scan for all streams. */
async function findStarts(
  store: ReplayStore,
  streams: readonly Started[],
  breathe: () => Promise<void> | undefined,
): Promise<void> {
  const scan = new ReplayScan(store, 0);
  const unsure = streams.filter(({ samples, start }) => samples === null && start.fromMs.length > 1);
  for (const { name, start } of unsure) scan.want(name, start);
  while (!scan.isOver) {
    scan.read();
    await breathe();
  }
  for (const stream of unsure) stream.fromMs = scan.take(stream.name)?.fromMs ?? stream.fromMs;
}

const earliestOf = (streams: readonly Started[]): number =>
  streams.reduce((earliest, { fromMs }) => Math.min(earliest, fromMs), Number.POSITIVE_INFINITY);

/**
 * The samples of streams, in order of time. Those that have not been read yet come from one scan for all streams, in pieces, because
 * there may be few samples of these among many of others.
 */
async function* samplesOf(
  store: ReplayStore,
  streams: readonly Started[],
  breathe: () => Promise<void> | undefined,
): AsyncGenerator<Iterable<NamedSample>> {
  const read = streams.flatMap(({ name: stream, samples }) =>
    (samples ?? []).map(({ timeMs, value }) => ({ stream, timeMs, value })),
  );
  if (read.length > 0) yield read.sort((a, b) => a.timeMs - b.timeMs);
  const others = streams.filter(({ samples, fromMs }) => samples === null && Number.isFinite(fromMs));
  const names = others.map(({ name }) => name);
  const span = { fromMs: earliestOf(others), toMs: Number.POSITIVE_INFINITY };
  yield* inPieces(span, store, (fromMs, toMs) => store.since(fromMs, names, toMs), breathe);
}
