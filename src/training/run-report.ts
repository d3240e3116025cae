/** Report of a fine-tuning run: published on `model/<group>`, and saved over restarts. */
import type { CycleReport } from './cycle.ts';
import type { Verdict } from './gate.ts';
import type { Trigger } from './scheduler.ts';

/** Findings of a run, limited in size. */
export interface RunFindings {
  /** Number of streams used and left out. */
  readonly streams: number;
  readonly leftOut: number;
  /** Reasons for the first streams left out. */
  readonly problems: readonly { readonly stream: string; readonly problem: string }[];
  /** Mean losses on the holdout; null without a candidate. */
  readonly losses: Verdict['losses'] | null;
  /** Time of the training alone. */
  readonly seconds: number | null;
  /** Figures of the gate; null without a candidate, omitted in reports of earlier versions. */
  readonly gate?: Gate | null;
}

interface Gate extends Pick<Verdict, 'gain' | 'pValue' | 'origins'> {
  /** Number of streams for which the candidate is clearly worse. */
  readonly harmed: number;
  /** Steps of the training, and its validation losses before and after. */
  readonly steps: number | null;
  readonly baseLoss: number | null;
  readonly bestLoss: number | null;
}

/** Status of the last run. */
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

/** Maximum number of streams named in a report, to limit the message. */
const MOST_NAMED = 10;

export function findings({ streams, leftOut, verdict, training }: CycleReport): RunFindings {
  return {
    streams,
    leftOut: leftOut.length,
    problems: leftOut.slice(0, MOST_NAMED),
    losses: verdict?.losses ?? null,
    seconds: training?.seconds ?? null,
    gate: verdict && {
      gain: verdict.gain,
      pValue: verdict.pValue,
      origins: verdict.origins,
      harmed: verdict.harmed.length,
      steps: training?.steps ?? null,
      baseLoss: training?.baseLoss ?? null,
      bestLoss: training?.bestLoss ?? null,
    },
  };
}

/** Marks a run as failed that was running when the agent ended. */
export function ended(last: RunReport): RunReport {
  if (last.status !== 'running' && last.status !== 'paused') return last;
  return { ...last, status: 'failed', reason: 'the agent ended during the run' };
}
