/** Decides whether an applied config is committed or rolled back. Pure. */
import type { Push } from './push-state.ts';

/** The agent's state that probation checks. */
export interface AgentVitals {
  readonly connected: boolean;
  readonly streams: readonly {
    readonly name: string;
    /**
     * Monotonic time of its last published forecast, ms. Before the first forecast of this run: the time of its last reading,
     * or the start of the run if it was active when the previous run ended. null: none of these.
     */
    readonly activeMs: number | null;
    /** null: not yet known. */
    readonly intervalMs: number | null;
    /** Number of forecasts in this run. */
    readonly forecasts: number;
    /** Monotonic time of its last reading, ms; null or omitted: not known. */
    readonly heardMs?: number | null;
  }[];
  readonly rssMb: number;
  /** Ids of the raised alerts that a config must not raise. */
  readonly alerts: readonly string[];
  readonly stepFailures: number;
  /** Why the configured model is not used; null if it is. */
  readonly modelProblem: string | null;
}

/** Verdict on a pushed model from its live score. */
export interface ModelVerdict {
  /** `wait`: too few forecasts have been scored. */
  readonly type: 'wait' | 'confirm' | 'rollback';
  readonly reason: string;
}

export interface Trial {
  /** State just before the config was applied; after a restart: just after it. */
  readonly before: AgentVitals;
  /** The change removes a rule, so its streams end. */
  readonly ruleGone: boolean;
  /** The change sets another model. */
  readonly otherModel: boolean;
  /** false after a restart with many streams: `before` then contains only some of them. */
  readonly allStreams: boolean;
  /** Delay of forecasts that does not count, ms. */
  readonly delayMs: number;
  /** ms of the monotonic clock. */
  readonly sinceMs: number;
  readonly lengthMs: number;
  /** When the connection was lost; null: connected. */
  readonly lostSinceMs: number | null;
}

interface Verdict {
  readonly trial: Trial;
  readonly passed: boolean;
  readonly failed: string | null;
  /** What a passed probation could not check. */
  readonly notes: readonly string[];
}

/** Allowed growth of memory: to this multiple, or by this many MB, whichever is larger. */
const MEMORY_SHARE = 1.5;
const MEMORY_MB = 96;
/** Share of the active streams that must still have forecasts. */
const STREAM_SHARE = 0.9;
/** Minimum number of forecasts per interval for a stream that counts as forecasting. */
const PACE = 0.5;
/** Delay of the first forecasts that does not count: on a busy machine, and after a restart, which takes the backlog first. */
const DELAY_MS = 2000;
const START_DELAY_MS = 6000;
/** Maximum duration of a probation, in multiples of its length, for streams with a long interval or the score of a model. */
export const PATIENCE = 3;

/** A stream is active if its last forecast or reading is not older than this many intervals. */
export const ACTIVE_INTERVALS = 3;

/** Maximum number of stream names saved over a restart. */
const MAX_KEPT = 200;

type Baseline = Push['baseline'];
type About = Pick<Trial, 'sinceMs' | 'lengthMs' | 'otherModel'>;

/** The part of the state that is saved over a restart. */
export function baselineOf(
  { streams, rssMb, alerts }: AgentVitals,
  ruleGone: boolean,
  nowMs: number,
): Baseline {
  const names = streams
    .filter(
      ({ activeMs, intervalMs }) =>
        activeMs !== null && nowMs - activeMs < ACTIVE_INTERVALS * (intervalMs ?? 0),
    )
    .map(({ name }) => name);
  return { streams: names.slice(0, MAX_KEPT), rssMb, alerts: [...alerts], ruleGone };
}

/** @param before state just before the change was applied */
export const trialOf = (before: AgentVitals, ruleGone: boolean, about: About): Trial => ({
  before,
  ruleGone,
  allStreams: true,
  delayMs: DELAY_MS,
  lostSinceMs: null,
  ...about,
});

/** @param now state just after the restart, used for values that were not saved */
export function trialAfterRestart(baseline: Baseline, now: AgentVitals, about: About): Trial {
  const { streams = [], rssMb = now.rssMb, alerts = now.alerts, ruleGone = false } = baseline ?? {};
  const before: AgentVitals = {
    connected: true,
    rssMb,
    alerts,
    stepFailures: 0,
    modelProblem: null,
    streams: streams.map((name) => ({ name, activeMs: about.sinceMs, intervalMs: null, forecasts: 0 })),
  };
  return {
    ...trialOf(before, ruleGone, about),
    allStreams: streams.length < MAX_KEPT,
    delayMs: START_DELAY_MS,
  };
}

/** Maximum duration of a lost connection: a quarter of probation, between 2 s and 30 s. */
const graceMs = (lengthMs: number): number => Math.min(30_000, Math.max(2000, lengthMs / 4));

/** @param model verdict on a changed model; omitted: the model is not checked */
export function judge(trial: Trial, now: AgentVitals, monotonicMs: number, model?: ModelVerdict): Verdict {
  const { before, sinceMs, lengthMs } = trial;
  const lostSinceMs = now.connected ? null : (trial.lostSinceMs ?? monotonicMs);
  const next: Trial = { ...trial, lostSinceMs };
  const failed = (reason: string): Verdict => ({ trial: next, passed: false, failed: reason, notes: [] });
  if (lostSinceMs !== null && monotonicMs - lostSinceMs >= graceMs(lengthMs))
    return failed('the connection to the broker was lost during probation');
  const raised = now.alerts.filter((id) => !before.alerts.includes(id));
  if (raised.length > 0) return failed(`a new alert was raised: ${raised.join(', ')}`);
  const mostMb = Math.max(before.rssMb * MEMORY_SHARE, before.rssMb + MEMORY_MB);
  if (now.rssMb > mostMb)
    return failed(`memory grew from ${Math.round(before.rssMb)} MB to ${Math.round(now.rssMb)} MB`);
  if (model !== undefined) {
    if (now.modelProblem !== null) return failed(`the model cannot be used: ${now.modelProblem}`);
    if (now.stepFailures > before.stepFailures) return failed("the model's step fails");
    if (model.type === 'rollback') return failed(`the model is worse: ${model.reason}`);
  }
  const elapsedMs = monotonicMs - sinceMs;
  if (elapsedMs < lengthMs || model?.type === 'wait')
    return { trial: next, passed: false, failed: null, notes: [] };
  if (!now.connected) return failed('there is no connection to the broker at the end of probation');
  const { silent, waits, unchecked } = silentStreams(trial, now, elapsedMs);
  if (silent !== null) return failed(silent);
  return { trial: next, passed: !waits, failed: null, notes: waits ? [] : notesOf(unchecked, elapsedMs) };
}

const MAX_NAMED = 5;
function notesOf(unchecked: readonly string[], elapsedMs: number): string[] {
  const [first] = unchecked;
  if (first === undefined) return [];
  const names = `${unchecked.slice(0, MAX_NAMED).join(', ')}${unchecked.length > MAX_NAMED ? ', …' : ''}`;
  return [
    `not checked, because the interval is too long for the probation and no reading came in ${Math.round(elapsedMs / 1000)} s: ${unchecked.length} of the streams that were in use (${names})`,
  ];
}

/**
 * Describes the missing forecasts if too few of the earlier active streams still have forecasts. An existing stream needs at
 * least half of the forecasts for its interval. A stream that no longer exists may have been renamed, so any new stream with
 * forecasts counts for it. `waits`: a stream with a long interval has no forecast yet, but may still get one in time. `unchecked`: streams
 * with an even longer interval that have had no reading either.
 */
function silentStreams(
  { before, ruleGone, allStreams, delayMs, sinceMs, lengthMs }: Trial,
  now: AgentVitals,
  elapsedMs: number,
): { readonly silent: string | null; readonly waits: boolean; readonly unchecked: readonly string[] } {
  const after = new Map(now.streams.map((stream) => [stream.name, stream]));
  const known = new Set(before.streams.map(({ name }) => name));
  const expected = before.streams.flatMap((stream) => {
    const { name, activeMs } = stream;
    const still = after.get(name);
    if (activeMs === null || (ruleGone && still === undefined)) return [];
    // the change may have increased the interval
    const intervalMs = Math.max(stream.intervalMs ?? 0, still?.intervalMs ?? 0);
    const wasActive = sinceMs - activeMs <= ACTIVE_INTERVALS * (stream.intervalMs ?? intervalMs);
    const forecasts = (still?.forecasts ?? 0) - stream.forecasts;
    return wasActive ? [{ name, still, intervalMs, forecasts }] : [];
  });
  const timeMs = elapsedMs - delayMs;
  const due = expected.filter(({ intervalMs }) => 2 * intervalMs < timeMs);
  const silent = due.filter(
    ({ still, intervalMs, forecasts }) =>
      still === undefined || forecasts < Math.max(1, Math.floor((PACE * timeMs) / (intervalMs || timeMs))),
  );
  const gone = silent.filter(({ still }) => still === undefined).length;
  const fresh = allStreams
    ? now.streams.filter(({ name, forecasts }) => !known.has(name) && forecasts > 0).length
    : 0;
  const missing = silent.length - Math.min(gone, fresh);
  if (due.length - missing < due.length * STREAM_SHARE) {
    const names = silent.map(({ name }) => name).slice(0, 5);
    const text = `${missing} of ${due.length} streams have no forecasts, or fewer than half of the expected number: ${names.join(', ')}`;
    return { silent: text, waits: false, unchecked: [] };
  }
  const later = expected.filter(({ intervalMs, forecasts }) => 2 * intervalMs >= timeMs && forecasts <= 0);
  const isInTime = (intervalMs: number): boolean => 2 * intervalMs + delayMs < PATIENCE * lengthMs;
  const waits = later.some(({ intervalMs }) => isInTime(intervalMs));
  const unchecked = later
    .filter(({ intervalMs, still }) => !isInTime(intervalMs) && (still?.heardMs ?? sinceMs) <= sinceMs)
    .map(({ name }) => name);
  return { silent: null, waits, unchecked };
}
