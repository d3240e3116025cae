/**
 * Fine-tuning beside a running agent: asks the scheduler every few seconds, has a worker do the work, and switches the
 * model when the gate says so. Whatever fails, the champion goes on; the reason is reported.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { GatecastError } from '../errors.ts';
import type { ModelRegistry } from '../model/registry.ts';
import type { ModelSlots } from '../model/slots.ts';
import type { StreamSpec } from '../series/spec.ts';
import type { RunningWork } from './client.ts';
import type { CycleOptions, CycleReport } from './cycle.ts';
import { shareHistory } from './history.ts';
import { type LiveScore, PROBATION_DEFAULTS, watch } from './probation.ts';
import type { TuningInput } from './protocol.ts';
import {
  type Facts,
  Scheduler,
  type SchedulerSettings,
  type SchedulerState,
  type Trigger,
} from './scheduler.ts';

export interface TunedStream {
  readonly spec: StreamSpec;
  /** null while it is being learnt. */
  readonly intervalMs: number | null;
  /** Leads of its forecasts. */
  readonly leads: number | null;
  /** Buckets that have closed so far. */
  readonly buckets: number;
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
  readonly cycle: CycleReport | null;
}

export interface FineTunerParts {
  /** Model group; streams that share a model. */
  readonly group: string;
  /** Model of the group until another is promoted. */
  readonly configured: string;
  readonly scheduler: SchedulerSettings;
  readonly cycle: CycleOptions;
  /** How far back history is read, ms. */
  readonly windowMs: number;
  readonly registry: ModelRegistry;
  readonly slots: ModelSlots;
  readonly cores: number;
  readonly streams: () => readonly TunedStream[];
  /** Most buckets of all streams together that a run reads: bounds its memory. */
  readonly mostBuckets: number;
  /** The store's file, with all samples so far settled in it. */
  readonly database: () => string;
  readonly facts: () => Omit<Facts, 'shortage'>;
  readonly start: (input: TuningInput, options: CycleOptions) => RunningWork<CycleReport>;
  /** The agent takes the group's current model up: loads it, rebuilds states, then forecasts with it. */
  readonly switchTo: (model: string) => Promise<void>;
  /** Live scores of the network since the switch. */
  readonly scores: () => readonly LiveScore[];
  readonly report: (report: RunReport) => void;
  /** What the champion's live loss was over the better naive's, before the switch; null: not known. */
  readonly before: () => number | null;
  readonly load: () => SchedulerState | null;
  readonly save: (state: SchedulerState) => void;
}

const NEVER: RunReport = {
  status: 'never',
  reason: '',
  trigger: null,
  startedMs: null,
  endedMs: null,
  cycle: null,
};

/** Buckets a stream must have before it is worth a look; the screen decides later. */
const LEAST_BUCKETS = 300;

export class FineTuner {
  private readonly scheduler: Scheduler;
  private work: RunningWork<CycleReport> | null = null;
  private paused = false;
  private stopped = false;
  /** Why the run under way was given up. */
  private givenUp: string | null = null;
  private waiting = '';
  private busy: Promise<void> | null = null;
  private last: RunReport = NEVER;

  constructor(private readonly parts: FineTunerParts) {
    this.scheduler = new Scheduler(parts.scheduler, parts.load() ?? undefined);
  }

  get lastRun(): RunReport {
    return this.last;
  }

  /** An owner, the schedule or a drift detector asks. */
  request(trigger: Exclude<Trigger, 'initial'>): void {
    this.scheduler.request(trigger);
    this.parts.save(this.scheduler.save());
  }

  /** Call every few seconds; returns soon. The work itself goes on in the background. */
  tick(): void {
    if (this.stopped) return;
    const before = this.scheduler.save();
    const facts = this.facts();
    const action = this.scheduler.next(facts);
    this.waiting = action.type === 'none' ? action.reason : 'running';
    if (this.scheduler.save() !== before) this.saveChanged(before);
    if (action.type === 'start') this.busy = this.run(action.trigger, facts.nowMs);
    else if (action.type === 'pause') this.hold(true, action.reason);
    else if (action.type === 'resume') this.hold(false, '');
    else if (action.type === 'stop') {
      this.givenUp = action.reason;
      void this.work?.kill();
    } else if (!this.scheduler.busy && this.busy === null) this.watchProbation(facts.nowMs);
  }

  /** Why no run begins, or that one is under way; in words. */
  get waitsFor(): string {
    return this.waiting;
  }

  /**
   * An owner wants the model before. Resolves when it forecasts.
   * @throws GatecastError TRAINING_FAILED while a run or a switch is under way, MODEL_UNKNOWN without a previous model
   */
  async rollback(reason: string): Promise<string> {
    const { slots, group, configured } = this.parts;
    if (this.busy)
      throw new GatecastError('TRAINING_FAILED', 'A fine-tuning is under way.', {
        hint: 'Ask again when it is done.',
      });
    const { current } = slots.get(group, configured);
    slots.rollback(group, configured, reason);
    this.busy = this.leave(current, reason);
    await this.busy;
    if (this.last.status === 'failed') throw new GatecastError('TRAINING_FAILED', this.last.reason);
    return slots.get(group, configured).current;
  }

  /** Ends what runs, without a result. */
  async stop(): Promise<void> {
    this.stopped = true;
    await this.work?.kill();
    await this.busy;
  }

  /** Waits for the run under way; for tests and a clean end. */
  async settled(): Promise<void> {
    await this.busy;
  }

  private facts(): Facts {
    const { parts } = this;
    const facts = parts.facts();
    // What training itself adds to the load must not stop it.
    const own = this.work && !this.paused ? 1 / parts.cores : 0;
    const load = facts.load === null ? null : Math.max(0, facts.load - own);
    const ready = parts
      .streams()
      .some(({ buckets, leads }) => leads !== null && buckets >= Math.max(LEAST_BUCKETS, 9 * leads));
    return { ...facts, load, shortage: ready ? null : 'no stream has been heard long enough' };
  }

  private saveChanged(before: SchedulerState): void {
    const now = this.scheduler.save();
    if (JSON.stringify(now) !== JSON.stringify(before)) this.parts.save(now);
  }

  private hold(paused: boolean, reason: string): void {
    this.paused = paused;
    if (paused) this.work?.pause();
    else this.work?.resume();
    this.tell({ ...this.last, status: paused ? 'paused' : 'running', reason });
  }

  private async run(trigger: Trigger, startedMs: number): Promise<void> {
    let outcome: 'promoted' | 'refused' | 'failed' = 'failed';
    const began = { trigger, startedMs, endedMs: null, cycle: null };
    try {
      // The caller of `tick` has its turn back before anything is read.
      await nextTurn();
      const input = this.prepare(startedMs);
      this.work = this.parts.start(input, this.parts.cycle);
      this.tell({ ...began, status: 'running', reason: '' });
      const cycle = await this.work.result;
      outcome = await this.conclude(input.name, cycle);
      this.tell({
        ...began,
        status: outcome,
        reason: cycle.reason,
        endedMs: this.parts.facts().nowMs,
        cycle,
      });
    } catch (error) {
      const reason = this.givenUp ?? (error instanceof Error ? error.message : String(error));
      if (!this.stopped) this.tell({ ...began, status: 'failed', reason, endedMs: this.parts.facts().nowMs });
    } finally {
      this.work = null;
      this.paused = false;
      this.givenUp = null;
      this.busy = null;
      // A run that the end of the agent cut short is no failure: it is made up for after the next start.
      if (this.stopped) this.scheduler.cutShort();
      else this.scheduler.finished(outcome, this.parts.facts().nowMs);
      this.parts.save(this.scheduler.save());
    }
  }

  private prepare(nowMs: number): TuningInput {
    const { parts } = this;
    const streams = parts
      .streams()
      .flatMap(({ spec, intervalMs, leads }) =>
        intervalMs === null || leads === null ? [] : [{ spec, intervalMs, leads }],
      );
    const { current } = parts.slots.get(parts.group, parts.configured);
    const stamp = new Date(nowMs).toISOString().slice(0, 19).replace(/[-:]/g, '').replace('T', '-');
    return {
      group: parts.group,
      streams: shareHistory(streams, nowMs, parts.windowMs, parts.mostBuckets),
      database: parts.database(),
      champion: parts.registry.open(current),
      name: `${parts.group}-${stamp}`,
      nowMs,
    };
  }

  /** A candidate that passed is written, switched to, and put on probation. */
  private async conclude(
    name: string,
    { status, candidate, reason }: CycleReport,
  ): Promise<'promoted' | 'refused'> {
    const { registry, slots, group, configured } = this.parts;
    if (status !== 'promote' || !candidate) return 'refused';
    const before = slots.get(group, configured).previous;
    registry.save(candidate);
    slots.stage(group, configured, name);
    slots.promote(group, configured, this.parts.facts().nowMs, reason);
    try {
      await this.parts.switchTo(name);
    } catch (cause) {
      slots.rollback(group, configured, 'the new model could not be taken up');
      registry.remove(name);
      throw new GatecastError(
        'TRAINING_FAILED',
        `The new model could not be taken up: ${(cause as Error).message}`,
        { cause },
      );
    }
    this.tidy(before);
    return 'promoted';
  }

  /** A model that nothing runs any more leaves the disk. */
  private tidy(name: string | null): void {
    const { registry, slots, configured } = this.parts;
    if (name && name !== configured && !slots.inUse().has(name)) registry.remove(name);
  }

  private watchProbation(nowMs: number): void {
    const { slots, group, configured, scores, before } = this.parts;
    const { probation, current } = slots.get(group, configured);
    if (!probation) return;
    // Where no network beats the naives live, the new one need only be no worse than the one before.
    const tolerance = PROBATION_DEFAULTS.tolerance * Math.max(1, before() ?? 1);
    const verdict = watch(scores(), probation.sinceMs, nowMs, { ...PROBATION_DEFAULTS, tolerance });
    if (verdict.type === 'wait') return;
    if (verdict.type === 'confirm') {
      slots.confirm(group, configured);
      this.tell({ ...this.last, status: 'confirmed', reason: verdict.reason });
    } else {
      slots.rollback(group, configured, verdict.reason);
      this.busy = this.leave(current, verdict.reason);
    }
  }

  /** Goes on with what the slots name now, and drops `from`. */
  private async leave(from: string, reason: string): Promise<void> {
    const { slots, group, configured, switchTo } = this.parts;
    try {
      await switchTo(slots.get(group, configured).current);
      this.tidy(from);
      this.tell({ ...this.last, status: 'rolled-back', reason });
    } catch (error) {
      this.tell({ ...this.last, status: 'failed', reason: (error as Error).message });
    } finally {
      this.busy = null;
    }
  }

  private tell(report: RunReport): void {
    this.last = report;
    this.parts.report(report);
  }
}
