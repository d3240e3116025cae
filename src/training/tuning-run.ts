/**
 * One run of fine-tuning at a time: starts the worker, pauses and ends it as the scheduler asks, and reports what becomes of it. The
 * fine-tuners of an agent (`group-tuner.ts`) and of a site (`agent/site-tuning.ts`) differ in the data of a run, and in how a promoted
 * model comes into use.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { errorText, GatecastError } from '../errors.ts';
import type { RunningWork } from './client.ts';
import type { CycleReport } from './cycle.ts';
import type { JobProgress } from './job.ts';
import { findings, type RunReport } from './run-report.ts';
import type { Action, Trigger } from './scheduler.ts';

interface TuningRunParts<Input> {
  readonly nowMs: () => number;
  readonly start: (input: Input, onProgress: (progress: JobProgress) => void) => RunningWork<CycleReport>;
  readonly tell: (report: RunReport) => void | Promise<void>;
  /** True when no run may continue; then nothing more is reported of it. */
  readonly isOver: () => boolean;
}

export class TuningRun<Input> {
  /** null: no run is in progress, or it is reading its data. */
  progress: JobProgress | null = null;
  private work: RunningWork<CycleReport> | null = null;
  private paused = false;
  /** Why the run is aborted. */
  private givenUp: string | null = null;
  private began: Omit<RunReport, 'status' | 'reason'> | null = null;

  constructor(private readonly parts: TuningRunParts<Input>) {}

  /** Load of the machine without that of the training itself, which must not stop it. */
  loadOfOthers(load: number, cores: number): number {
    return Math.max(0, load - (this.work !== null && !this.paused ? 1 / cores : 0));
  }

  /** @param promote brings the candidate of the input into use. Never rejects. */
  async run(
    trigger: Trigger,
    startedMs: number,
    read: () => Input | Promise<Input>,
    promote: (input: Input, reason: string) => Promise<void>,
  ): Promise<'promoted' | 'refused' | 'failed'> {
    const { parts } = this;
    const began = { trigger, startedMs, endedMs: null, found: null };
    this.givenUp = null;
    this.began = began;
    try {
      // The caller continues before any data are read.
      await nextTurn();
      this.mayGoOn();
      await parts.tell({ ...began, status: 'running', reason: '' });
      const input = await read();
      this.mayGoOn();
      this.work = parts.start(input, (progress) => {
        this.progress = progress;
      });
      // Since the data were read.
      if (this.paused) this.work.pause();
      const cycle = await this.work.result;
      this.mayGoOn();
      const { reason } = cycle;
      const status = cycle.status === 'promote' ? 'promoted' : 'refused';
      if (status === 'promoted') await promote(input, reason);
      // A pause from now on would be reported after the end of the run.
      this.began = null;
      await parts.tell({ ...began, status, reason, endedMs: parts.nowMs(), found: findings(cycle) });
      return status;
    } catch (error) {
      this.began = null;
      const reason = this.givenUp ?? errorText(error);
      const failed = { ...began, status: 'failed', reason, endedMs: parts.nowMs() } as const;
      try {
        if (!parts.isOver()) await parts.tell(failed);
      } catch {
        // The run has ended, whether its report can be stored or not.
      }
      return 'failed';
    } finally {
      this.work = this.began = this.progress = null;
      this.paused = false;
    }
  }

  /** Does what the scheduler asks for during a run. */
  async follow(action: Exclude<Action, { type: 'none' | 'start' }>): Promise<void> {
    if (action.type === 'stop') return this.end(action.reason);
    this.paused = action.type === 'pause';
    if (this.paused) this.work?.pause();
    else this.work?.resume();
    const status = this.paused ? 'paused' : 'running';
    const reason = action.type === 'pause' ? action.reason : '';
    if (this.began !== null) await this.parts.tell({ ...this.began, status, reason });
  }

  /** Ends the worker. @param reason for the report of the run, if the run is not over anyway */
  async end(reason: string | null = null): Promise<void> {
    this.givenUp = reason;
    await this.work?.kill();
  }

  /** @throws GatecastError TRAINING_FAILED when the run must end */
  mayGoOn(): void {
    if (this.givenUp !== null || this.parts.isOver())
      throw new GatecastError('TRAINING_FAILED', this.givenUp ?? 'The worker stops.');
  }
}
