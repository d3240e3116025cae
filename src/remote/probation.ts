/** Decides whether a config that was applied may stay. Pure. */

/** The agent's state, as far as probation looks at it. */
export interface Vitals {
  readonly connected: boolean;
  /** Streams, and when each last published a forecast: ms of the monotonic clock, null for never in this run. */
  readonly streams: readonly {
    readonly name: string;
    readonly publishedMs: number | null;
    /** Null: not yet known. */
    readonly intervalMs: number | null;
  }[];
  readonly rssMb: number;
  /** Alerts of severity error. */
  readonly errors: readonly string[];
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
/** Of the streams that had forecasts, so many must have them again. */
const STREAM_SHARE = 0.9;

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
  const raised = now.errors.filter((id) => !before.errors.includes(id));
  if (raised.length > 0) return failed(`a new alert was raised: ${raised.join(', ')}`);
  const mostMb = Math.max(before.rssMb * MEMORY_SHARE, before.rssMb + MEMORY_MB);
  if (now.rssMb > mostMb)
    return failed(`memory grew from ${Math.round(before.rssMb)} MB to ${Math.round(now.rssMb)} MB`);
  if (model !== undefined) {
    if (now.modelProblem !== null) return failed(`the model cannot be used: ${now.modelProblem}`);
    if (now.stepFailures > before.stepFailures) return failed("the model's step fails");
    if (model.type === 'rollback') return failed(`the model is worse: ${model.reason}`);
  }
  if (monotonicMs - sinceMs < lengthMs || model?.type === 'wait')
    return { trial: next, passed: false, failed: null };
  if (!now.connected) return failed('there is no connection to the broker at the end of probation');
  const silent = silentStreams(trial, now);
  if (silent !== null) return failed(silent);
  return { trial: next, passed: true, failed: null };
}

/**
 * Whether too few streams have forecasts. Counted are streams that had forecasts before and must have had another one by
 * now; a rule whose streams got other names is fine.
 */
function silentStreams({ before, ruleGone, sinceMs, lengthMs }: Trial, now: Vitals): string | null {
  const after = new Map(now.streams.map((stream) => [stream.name, stream]));
  const expected = before.streams.filter(({ name, publishedMs, intervalMs: known }) => {
    if (ruleGone && !after.has(name)) return false;
    const intervalMs = known ?? after.get(name)?.intervalMs ?? 0;
    return publishedMs !== null && 2 * intervalMs < lengthMs && sinceMs - publishedMs <= 3 * intervalMs;
  });
  const published = now.streams.filter(({ publishedMs }) => publishedMs !== null && publishedMs > sinceMs);
  if (published.length >= expected.length * STREAM_SHARE) return null;
  const alive = new Set(published.map(({ name }) => name));
  const silent = expected.filter(({ name }) => !alive.has(name)).map(({ name }) => name);
  return `${silent.length} of ${expected.length} streams have no forecasts any more: ${silent.slice(0, 5).join(', ')}`;
}
