/** Decides whether a config that was applied may stay. Pure. */
import type { Push } from './push-state.ts';

/** The agent's state, as far as probation looks at it. */
export interface Vitals {
  readonly connected: boolean;
  readonly streams: readonly {
    readonly name: string;
    /**
     * When its last forecast was published, ms of the monotonic clock. Before the first forecast of this run: when its last
     * reading came, or the start of the run for a stream that was in use when the former run ended. Null: none of these.
     */
    readonly activeMs: number | null;
    /** Null: not yet known. */
    readonly intervalMs: number | null;
    /** How many it has had in this run. */
    readonly forecasts: number;
  }[];
  readonly rssMb: number;
  /** Ids of the raised alerts that a config must not raise. */
  readonly alerts: readonly string[];
  /** How often the model's step failed in this run. */
  readonly stepFailures: number;
  /** Why the configured model does not forecast; null: it does. */
  readonly modelProblem: string | null;
}

/** What the live score says of a pushed model. */
export interface ModelVerdict {
  /** `wait`: too few forecasts have met their readings. */
  readonly type: 'wait' | 'confirm' | 'rollback';
  readonly reason: string;
}

export interface Trial {
  /** Right before the config was applied; after a restart: right after it. */
  readonly before: Vitals;
  /** The change takes a rule away on purpose, and its streams with it. */
  readonly ruleGone: boolean;
  /** The change brings another model. */
  readonly otherModel: boolean;
  /** False after a restart of an agent with many streams: `before` then names some of them only. */
  readonly allStreams: boolean;
  /** ms of the monotonic clock. */
  readonly sinceMs: number;
  readonly lengthMs: number;
  /** Since when there is no connection; null: there is one. */
  readonly lostSinceMs: number | null;
}

export interface Verdict {
  readonly trial: Trial;
  readonly passed: boolean;
  readonly failed: string | null;
}

/** Memory may grow by this share of what it was, and by this much in any case, MB. */
const MEMORY_SHARE = 1.5;
const MEMORY_MB = 96;
/** Of the streams that were in use, so many must have forecasts. */
const STREAM_SHARE = 0.9;
/** A stream that forecasts more rarely than this share of its intervals counts as one that has no forecasts. */
const PACE = 0.5;
/** A probation lasts at most so many times its length, for streams whose interval is long, or for the score of a model. */
export const PATIENCE = 3;

/** A stream is in use while its last forecast, or reading, is not older than this many intervals. */
export const ACTIVE_INTERVALS = 3;

/** Names of streams that are kept over a restart. */
const MAX_KEPT = 200;

type Baseline = Push['baseline'];
type About = Pick<Trial, 'sinceMs' | 'lengthMs' | 'otherModel'>;

/** What a restart must not lose of the state before it. */
export function baselineOf({ streams, rssMb, alerts }: Vitals, ruleGone: boolean, nowMs: number): Baseline {
  const names = streams
    .filter(
      ({ activeMs, intervalMs }) =>
        activeMs !== null && nowMs - activeMs < ACTIVE_INTERVALS * (intervalMs ?? 0),
    )
    .map(({ name }) => name);
  return { streams: names.slice(0, MAX_KEPT), rssMb, alerts: [...alerts], ruleGone };
}

/** @param before right before the change was applied */
export const trialOf = (before: Vitals, ruleGone: boolean, about: About): Trial => ({
  before,
  ruleGone,
  allStreams: true,
  lostSinceMs: null,
  ...about,
});

/** @param now right after the restart: stands for what was not kept */
export function trialAfterRestart(baseline: Baseline, now: Vitals, about: About): Trial {
  const { streams = [], rssMb = now.rssMb, alerts = now.alerts, ruleGone = false } = baseline ?? {};
  const before: Vitals = {
    connected: true,
    rssMb,
    alerts,
    stepFailures: 0,
    modelProblem: null,
    streams: streams.map((name) => ({ name, activeMs: about.sinceMs, intervalMs: null, forecasts: 0 })),
  };
  return { ...trialOf(before, ruleGone, about), allStreams: streams.length < MAX_KEPT };
}

/** How long a connection may be away: a quarter of probation, between 2 s and 30 s. */
const graceMs = (lengthMs: number): number => Math.min(30_000, Math.max(2000, lengthMs / 4));

/** @param model of a trial that brings another model; left out: what is said of the model does not count */
export function judge(trial: Trial, now: Vitals, monotonicMs: number, model?: ModelVerdict): Verdict {
  const { before, sinceMs, lengthMs } = trial;
  const lostSinceMs = now.connected ? null : (trial.lostSinceMs ?? monotonicMs);
  const next: Trial = { ...trial, lostSinceMs };
  const failed = (reason: string): Verdict => ({ trial: next, passed: false, failed: reason });
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
  if (elapsedMs < lengthMs || model?.type === 'wait') return { trial: next, passed: false, failed: null };
  if (!now.connected) return failed('there is no connection to the broker at the end of probation');
  const { silent, waits } = silentStreams(trial, now, elapsedMs);
  if (silent !== null) return failed(silent);
  return { trial: next, passed: !waits, failed: null };
}

/**
 * Whether too few streams have forecasts. Expected are streams that were in use before. One that is still there must have had
 * at least half of the forecasts of its interval. One that is gone may have another name now: any new stream that forecasts
 * stands for it. `waits`: a stream of a long interval has had no forecast yet, and may still have one in time.
 */
function silentStreams(
  { before, ruleGone, allStreams, sinceMs, lengthMs }: Trial,
  now: Vitals,
  elapsedMs: number,
): { readonly silent: string | null; readonly waits: boolean } {
  const after = new Map(now.streams.map((stream) => [stream.name, stream]));
  const known = new Set(before.streams.map(({ name }) => name));
  const expected = before.streams.flatMap((stream) => {
    const { name, activeMs } = stream;
    const still = after.get(name);
    if (activeMs === null || (ruleGone && still === undefined)) return [];
    // The change may make the interval longer.
    const intervalMs = Math.max(stream.intervalMs ?? 0, still?.intervalMs ?? 0);
    const wasActive = sinceMs - activeMs <= ACTIVE_INTERVALS * (stream.intervalMs ?? intervalMs);
    const forecasts = (still?.forecasts ?? 0) - stream.forecasts;
    return wasActive ? [{ name, still, intervalMs, forecasts }] : [];
  });
  const due = expected.filter(({ intervalMs }) => 2 * intervalMs < elapsedMs);
  const silent = due.filter(
    ({ still, intervalMs, forecasts }) =>
      still === undefined ||
      forecasts < Math.max(1, Math.floor((PACE * elapsedMs) / (intervalMs || elapsedMs))),
  );
  const gone = silent.filter(({ still }) => still === undefined).length;
  const fresh = allStreams
    ? now.streams.filter(({ name, forecasts }) => !known.has(name) && forecasts > 0).length
    : 0;
  const missing = silent.length - Math.min(gone, fresh);
  if (due.length - missing < due.length * STREAM_SHARE) {
    const names = silent.map(({ name }) => name).slice(0, 5);
    const text = `${missing} of ${due.length} streams have no forecasts any more, or fewer than half of them: ${names.join(', ')}`;
    return { silent: text, waits: false };
  }
  const waits = expected.some(
    ({ intervalMs, forecasts }) =>
      2 * intervalMs >= elapsedMs && 2 * intervalMs < PATIENCE * lengthMs && forecasts <= 0,
  );
  return { silent: null, waits };
}
