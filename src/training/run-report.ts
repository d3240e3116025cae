/** What became of a fine-tuning: for `model/<group>`, and to be kept over a restart. */
import type { CycleReport } from './cycle.ts';
import type { Verdict } from './gate.ts';
import type { Trigger } from './scheduler.ts';

/** What a run found, short enough to be kept and published. */
export interface RunFindings {
  /** Streams that were learnt from, and that were not. */
  readonly streams: number;
  readonly leftOut: number;
  /** Why, for the first of them. */
  readonly problems: readonly { readonly stream: string; readonly problem: string }[];
  /** Mean losses on the holdout; null where no candidate came of it. */
  readonly losses: Verdict['losses'] | null;
  /** Training alone. */
  readonly seconds: number | null;
}

/** What became of the last run; for `model/<group>`. */
export interface RunReport {
  readonly status:
    | 'never'
    | 'running'
    | 'paused'
    | 'promoted'
    | 'refused'
    | 'failed'
    | 'rolled-back'
    | 'confirmed';
  readonly reason: string;
  readonly trigger: Trigger | null;
  readonly startedMs: number | null;
  readonly endedMs: number | null;
  readonly found: RunFindings | null;
}

export const NEVER: RunReport = {
  status: 'never',
  reason: '',
  trigger: null,
  startedMs: null,
  endedMs: null,
  found: null,
};

/** Streams named in a report: a thousand would fill the message. */
const MOST_NAMED = 10;

export function findings({ streams, leftOut, verdict, training }: CycleReport): RunFindings {
  return {
    streams,
    leftOut: leftOut.length,
    problems: leftOut.slice(0, MOST_NAMED),
    losses: verdict?.losses ?? null,
    seconds: training?.seconds ?? null,
  };
}

/** What was under way when the agent ended is not any more. */
export function ended(last: RunReport): RunReport {
  if (last.status !== 'running' && last.status !== 'paused') return last;
  return { ...last, status: 'failed', reason: 'the agent ended meanwhile' };
}
