/**
 * Fine-tunes the model of a group: asks the scheduler every few seconds, runs the training in a worker, switches to the new
 * model if the gate promotes it, and watches its probation. After any failure the champion stays in use, and the reason is reported.
 */
import { errorText, GatecastError } from '../errors.ts';
import type { ModelRegistry } from '../model/registry.ts';
import type { ModelSlots } from '../model/slots.ts';
import type { StreamSpec } from '../series/spec.ts';
import type { RunningWork } from './client.ts';
import type { CycleOptions, CycleReport } from './cycle.ts';
import { shareHistory, shortageOf } from './history.ts';
import type { JobProgress } from './job.ts';
import {
  type LiveRatios,
  type LiveScore,
  PROBATION_DEFAULTS,
  type ProbationVerdict,
  watch,
} from './probation.ts';
import { candidateName, type TuningInput } from './protocol.ts';
import type { KnownTable } from './replay.ts';
import { ended, NEVER, type RunReport } from './run-report.ts';
import {
  type Facts,
  Scheduler,
  type SchedulerSettings,
  type SchedulerState,
  type Trigger,
} from './scheduler.ts';
import { TuningRun } from './tuning-run.ts';

interface TunedStream {
  readonly spec: StreamSpec;
  /** null until it is learnt. */
  readonly intervalMs: number | null;
  /** Leads of its forecasts. */
  readonly leads: number | null;
  /** Buckets closed so far. */
  readonly buckets: number;
}

/** Survives restarts. */
export interface TunerState {
  readonly scheduler: SchedulerState;
  readonly last: RunReport;
}

export interface GroupTunerParts {
  /** Model group; streams that share a model. */
  readonly group: string;
  /** Model of the group from the config. */
  readonly configured: string;
  readonly scheduler: SchedulerSettings;
  readonly cycle: CycleOptions;
  /** How far back history is read, ms. */
  readonly windowMs: number;
  readonly registry: ModelRegistry;
  readonly slots: ModelSlots;
  readonly cores: number;
  readonly streams: () => readonly TunedStream[];
  /** Values known ahead, for streams that use them as covariates. */
  readonly tables: () => readonly KnownTable[];
  /** Path of the database, after all samples so far are written to it. */
  readonly database: () => string;
  readonly facts: () => Omit<Facts, 'shortage'>;
  /** Why tuning is blocked for every trigger; null when it is allowed. */
  readonly barred: () => string | null;
  /** Starts a run. If its result is `promote`, the candidate is in the registry. */
  readonly start: (
    input: TuningInput,
    options: CycleOptions,
    onProgress: (progress: JobProgress) => void,
  ) => RunningWork<CycleReport>;
  /** Switches the agent to a model: loads it, rebuilds the states, then forecasts with it. */
  readonly switchTo: (model: string) => Promise<void>;
  /** Name of the model in use. */
  readonly running: () => string;
  /** Live scores of the network since the switch. */
  readonly scores: () => readonly LiveScore[];
  readonly report: (report: RunReport) => void;
  /** The champion's live scores before the switch; null: unknown. */
  readonly before: () => LiveRatios | null;
  /** State saved by the previous run of the agent. */
  readonly load: () => TunerState | null;
  /** Saves the state durably before the next write of the store. */
  readonly save: (state: TunerState) => void;
}

/** Delay before a failed switch is retried, ms. */
const SWITCH_AGAIN_MS = 60_000;

export class GroupTuner {
  private readonly scheduler: Scheduler;
  private readonly work: TuningRun<TuningInput>;
  private stopped = false;
  private waiting = '';
  private busy: Promise<unknown> | null = null;
  private last: RunReport;
  /** Monotonic time before which a failed switch is not retried, ms. */
  private switchFrom = Number.NEGATIVE_INFINITY;

  constructor(private readonly parts: GroupTunerParts) {
    const saved = parts.load();
    this.scheduler = new Scheduler(parts.scheduler, saved?.scheduler);
    this.last = ended(saved?.last ?? NEVER);
    this.work = new TuningRun({
      nowMs: () => parts.facts().nowMs,
      start: (input, onProgress) => parts.start(input, parts.cycle, onProgress),
      tell: (report) => this.tell(report),
      isOver: () => this.stopped,
    });
  }

  get lastRun(): RunReport {
    return this.last;
  }

  /** Progress of the current run; null: none is running, or it is reading its data. */
  get runProgress(): JobProgress | null {
    return this.work.progress;
  }

  /** Probation of the model in use; null: it is not on probation. */
  get probation(): { readonly sinceMs: number; readonly untilMs: number; readonly found: string } | null {
    const { slots, group, configured, running } = this.parts;
    const { probation, current } = slots.get(group, configured);
    if (!probation || running() !== current) return null;
    const { sinceMs } = probation;
    const found = this.judge(sinceMs, this.parts.facts().nowMs).reason;
    return { sinceMs, untilMs: sinceMs + PROBATION_DEFAULTS.lengthMs, found };
  }

  /** Why no run starts, or that one is running; for people. */
  get waitsFor(): string {
    return this.waiting;
  }

  /** Whether a run or a switch is in progress. */
  get isBusy(): boolean {
    return this.busy !== null;
  }

  /** Requests a run, on behalf of an owner, the schedule or a drift detector. */
  request(trigger: Exclude<Trigger, 'initial'>): void {
    const before = this.scheduler.save();
    this.scheduler.request(trigger);
    this.saveChanged(before);
  }

  /** Call every few seconds; returns quickly. The work runs in the background. */
  tick(): void {
    if (this.stopped) return;
    if (this.busy !== null && !this.scheduler.busy) {
      this.waiting = 'the agent is switching to another model';
      return;
    }
    const before = this.scheduler.save();
    const facts = this.facts();
    const action = this.scheduler.next(facts);
    this.waiting = action.type === 'none' ? action.reason : 'running';
    this.saveChanged(before);
    if (action.type === 'start') this.busy = this.run(action.trigger, facts.nowMs);
    else if (action.type !== 'none') void this.work.follow(action);
    else if (!this.scheduler.busy && this.busy === null) {
      try {
        this.atRest(facts);
      } catch (error) {
        // The verdict cannot be stored on a full disk; the next tick computes it again.
        this.waiting = errorText(error);
      }
    }
  }

  /** Why a run cannot start; null if it can. */
  shortage(): string | null {
    return this.parts.barred() ?? shortageOf(this.parts.streams());
  }

  /**
   * Switches back to the previous model. Resolves when the agent forecasts with it.
   * @throws GatecastError BUSY while a run or a switch is in progress, MODEL_UNKNOWN without a previous model,
   *   TRAINING_FAILED if the switch fails
   */
  async rollback(reason: string): Promise<string> {
    const { slots, group, configured } = this.parts;
    if (this.busy)
      throw new GatecastError('BUSY', 'Fine-tuning is running.', {
        hint: 'Repeat the request when it has finished.',
      });
    const { current } = slots.get(group, configured);
    slots.rollback(group, configured, reason);
    const switched = this.leave(current, reason);
    this.busy = switched;
    const failure = await switched;
    if (failure !== null) throw new GatecastError('TRAINING_FAILED', failure);
    return slots.get(group, configured).current;
  }

  /** Ends the current run without a result. This is no failure: its alert would roll back a push that ended the run. */
  async stop(reason: string): Promise<void> {
    this.stopped = true;
    await this.work.end();
    await this.busy;
    const { status } = this.last;
    if (status === 'running' || status === 'paused')
      this.tell({ ...this.last, status: 'refused', reason, endedMs: this.parts.facts().nowMs });
  }

  /** Waits for the current run; for tests and a clean stop. */
  async settled(): Promise<void> {
    await this.busy;
  }

  private facts(): Facts {
    const { parts } = this;
    const facts = parts.facts();
    const load = facts.load === null ? null : this.work.loadOfOthers(facts.load, parts.cores);
    return { ...facts, load, shortage: this.shortage() };
  }

  private saveChanged(before: SchedulerState): void {
    if (JSON.stringify(this.scheduler.save()) !== JSON.stringify(before)) this.save();
  }

  private save(): void {
    this.parts.save({ scheduler: this.scheduler.save(), last: this.last });
  }

  private async run(trigger: Trigger, startedMs: number): Promise<void> {
    const outcome = await this.work.run(
      trigger,
      startedMs,
      () => this.prepare(startedMs),
      ({ name }, reason) => this.promote(name, reason),
    );
    this.busy = null;
    // A run interrupted by the agent's stop is not a failure: it is repeated after the next start.
    if (this.stopped) this.scheduler.cutShort();
    else this.scheduler.finished(outcome, this.parts.facts().nowMs);
    this.save();
  }

  private prepare(nowMs: number): TuningInput {
    const { parts } = this;
    const streams = parts
      .streams()
      .flatMap(({ spec, intervalMs, leads }) =>
        intervalMs === null || leads === null ? [] : [{ spec, intervalMs, leads }],
      );
    const { current } = parts.slots.get(parts.group, parts.configured);
    const { dataFolder } = parts.registry;
    if (dataFolder === null) throw new GatecastError('INTERNAL', 'There is no folder for the model.');
    return {
      group: parts.group,
      streams: shareHistory(streams, nowMs, parts.windowMs),
      tables: parts.tables(),
      database: parts.database(),
      models: dataFolder,
      champion: parts.registry.open(current),
      name: candidateName(parts.group, nowMs),
      nowMs,
    };
  }

  /** Switches to a promoted candidate and puts it on probation. */
  private async promote(name: string, reason: string): Promise<void> {
    const { registry, slots, group, configured } = this.parts;
    const before = slots.get(group, configured).previous;
    try {
      slots.stage(group, configured, name);
      slots.promote(group, configured, this.parts.facts().nowMs, reason);
      await this.parts.switchTo(name);
    } catch (cause) {
      // On a full disk the rollback fails too: the slots then still name the new model, and the switch is retried.
      if (slots.get(group, configured).current === name)
        slots.rollback(group, configured, 'the switch to the new model failed');
      registry.remove(name);
      throw new GatecastError('TRAINING_FAILED', `The switch to the new model failed: ${errorText(cause)}`, {
        cause,
      });
    }
    this.tidy(before);
  }

  /** Deletes a model that is no longer in use; returns whether it was not. */
  private tidy(name: string | null): boolean {
    const { registry, slots, configured } = this.parts;
    if (!name || name === configured || slots.inUse().has(name)) return false;
    registry.remove(name);
    return true;
  }

  /** While no run is in progress: completes a pending switch and checks a model on probation. */
  private atRest({ nowMs, monotonicMs }: Facts): void {
    const { slots, group, configured, running } = this.parts;
    const { probation, current, reason } = slots.get(group, configured);
    if (running() !== current) {
      if (monotonicMs < this.switchFrom) return;
      this.switchFrom = monotonicMs + SWITCH_AGAIN_MS;
      this.busy = this.leave(running(), reason);
      return;
    }
    if (!probation) return;
    const verdict = this.judge(probation.sinceMs, nowMs);
    if (verdict.type === 'confirm') {
      slots.confirm(group, configured);
      this.tell({ ...this.last, status: 'confirmed', reason: verdict.reason });
    } else if (verdict.type === 'rollback') {
      slots.rollback(group, configured, verdict.reason);
      this.busy = this.leave(current, verdict.reason);
    }
  }

  private judge(sinceMs: number, nowMs: number): ProbationVerdict {
    const { scores, before } = this.parts;
    return watch(scores(), sinceMs, nowMs, { ...PROBATION_DEFAULTS, champion: before() });
  }

  /** Switches to the model that the slots name, and deletes `from` if unused. @returns why it failed; null if it did not */
  private async leave(from: string, reason: string): Promise<string | null> {
    const { slots, group, configured, switchTo } = this.parts;
    try {
      await switchTo(slots.get(group, configured).current);
      // A model that is kept was not left for its forecasts: it ran because the switch had failed, or the other could not be read.
      this.tell({ ...this.last, status: this.tidy(from) ? 'rolled-back' : 'promoted', reason });
      return null;
    } catch (error) {
      const failure = errorText(error);
      // One that a config change or the agent's stop ends is no failure: the next start switches.
      if (!this.stopped) this.tell({ ...this.last, status: 'failed', reason: failure });
      return failure;
    } finally {
      this.busy = null;
    }
  }

  private tell(report: RunReport): void {
    this.last = report;
    this.save();
    this.parts.report(report);
  }
}
