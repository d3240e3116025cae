/**
 * Fine-tuning beside a running agent: asks the scheduler every few seconds, has a worker do the work, and switches the
 * model when the gate says so. Whatever fails, the champion goes on; the reason is reported.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { errorText, GatecastError } from '../errors.ts';
import type { RunningWork } from './client.ts';
import type { CycleReport } from './cycle.ts';
import type { FineTunerParts } from './finetuner-contract.ts';
import { shareHistory } from './history.ts';
import { PROBATION_DEFAULTS, watch } from './probation.ts';
import type { TuningInput } from './protocol.ts';
import { ended, findings, NEVER, type RunReport } from './run-report.ts';
import { type Facts, Scheduler, type SchedulerState, type Trigger } from './scheduler.ts';

/** Buckets a stream must have before it is worth a look; the screen decides later. */
const LEAST_BUCKETS = 300;

/** A switch that failed is tried again after this, ms. */
const SWITCH_AGAIN_MS = 60_000;

export class FineTuner {
  private readonly scheduler: Scheduler;
  private work: RunningWork<CycleReport> | null = null;
  private paused = false;
  private stopped = false;
  /** Why the run under way was given up. */
  private givenUp: string | null = null;
  private waiting = '';
  private busy: Promise<void> | null = null;
  private last: RunReport;
  /** Monotonic time before which a switch that failed is not tried again, ms. */
  private switchFrom = Number.NEGATIVE_INFINITY;

  constructor(private readonly parts: FineTunerParts) {
    const saved = parts.load();
    this.scheduler = new Scheduler(parts.scheduler, saved?.scheduler);
    this.last = ended(saved?.last ?? NEVER);
  }

  get lastRun(): RunReport {
    return this.last;
  }

  /** Why no run begins, or that one is under way; in words. */
  get waitsFor(): string {
    return this.waiting;
  }

  /** A run or a switch is under way. */
  get isBusy(): boolean {
    return this.busy !== null;
  }

  /** An owner, the schedule or a drift detector asks. */
  request(trigger: Exclude<Trigger, 'initial'>): void {
    const before = this.scheduler.save();
    this.scheduler.request(trigger);
    this.saveChanged(before);
  }

  /** Call every few seconds; returns soon. The work itself goes on in the background. */
  tick(): void {
    if (this.stopped) return;
    if (this.busy !== null && !this.scheduler.busy) {
      this.waiting = 'another model is being taken up';
      return;
    }
    const before = this.scheduler.save();
    const facts = this.facts();
    const action = this.scheduler.next(facts);
    this.waiting = action.type === 'none' ? action.reason : 'running';
    this.saveChanged(before);
    if (action.type === 'start') this.busy = this.run(action.trigger, facts.nowMs);
    else if (action.type === 'pause') this.hold(true, action.reason);
    else if (action.type === 'resume') this.hold(false, '');
    else if (action.type === 'stop') {
      this.givenUp = action.reason;
      void this.work?.kill();
    } else if (!this.scheduler.busy && this.busy === null) {
      try {
        this.atRest(facts);
      } catch (error) {
        // A full disk takes no verdict: it is found again at the next look.
        this.waiting = errorText(error);
      }
    }
  }

  /** Why there is nothing to begin with; null: there is. */
  shortage(): string | null {
    const { parts } = this;
    const barred = parts.barred();
    if (barred !== null) return barred;
    const ready = parts
      .streams()
      .some(({ buckets, leads }) => leads !== null && buckets >= Math.max(LEAST_BUCKETS, 9 * leads));
    return ready ? null : 'no stream has been heard long enough';
  }

  /**
   * An owner wants the model before. Resolves when it forecasts.
   * @throws GatecastError BUSY while a run or a switch is under way, MODEL_UNKNOWN without a previous model,
   *   TRAINING_FAILED when it cannot be taken up
   */
  async rollback(reason: string): Promise<string> {
    const { slots, group, configured } = this.parts;
    if (this.busy)
      throw new GatecastError('BUSY', 'Fine-tuning is running.', {
        hint: 'Repeat the request when it has finished.',
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
    return { ...facts, load, shortage: this.shortage() };
  }

  private saveChanged(before: SchedulerState): void {
    if (JSON.stringify(this.scheduler.save()) !== JSON.stringify(before)) this.save();
  }

  private save(): void {
    this.parts.save({ scheduler: this.scheduler.save(), last: this.last });
  }

  private hold(paused: boolean, reason: string): void {
    this.paused = paused;
    if (paused) this.work?.pause();
    else this.work?.resume();
    this.tell({ ...this.last, status: paused ? 'paused' : 'running', reason });
  }

  private async run(trigger: Trigger, startedMs: number): Promise<void> {
    let outcome: 'promoted' | 'refused' | 'failed' = 'failed';
    const began = { trigger, startedMs, endedMs: null, found: null };
    try {
      // The caller of `tick` has its turn back before anything is read.
      await nextTurn();
      if (this.stopped) throw new Error('stopped before it began');
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
        found: findings(cycle),
      });
    } catch (error) {
      const reason = this.givenUp ?? errorText(error);
      if (!this.stopped) this.tell({ ...began, status: 'failed', reason, endedMs: this.parts.facts().nowMs });
    } finally {
      this.work = null;
      this.paused = false;
      this.givenUp = null;
      this.busy = null;
      // A run that the end of the agent cut short is no failure: it is made up for after the next start.
      if (this.stopped) this.scheduler.cutShort();
      else this.scheduler.finished(outcome, this.parts.facts().nowMs);
      this.save();
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
    const { dataFolder } = parts.registry;
    if (dataFolder === null) throw new GatecastError('INTERNAL', 'There is no folder to keep a model in.');
    return {
      group: parts.group,
      streams: shareHistory(streams, nowMs, parts.windowMs, parts.mostBuckets),
      tables: parts.tables(),
      database: parts.database(),
      models: dataFolder,
      champion: parts.registry.open(current),
      name: `${parts.group}-${stamp}`,
      nowMs,
    };
  }

  /** A candidate that passed is switched to, and put on probation. */
  private async conclude(name: string, { status, reason }: CycleReport): Promise<'promoted' | 'refused'> {
    const { registry, slots, group, configured } = this.parts;
    if (status !== 'promote') return 'refused';
    const before = slots.get(group, configured).previous;
    try {
      slots.stage(group, configured, name);
      slots.promote(group, configured, this.parts.facts().nowMs, reason);
      await this.parts.switchTo(name);
    } catch (cause) {
      // On a full disk this fails too: then the slots name the new model still, and it is tried again.
      if (slots.get(group, configured).current === name)
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

  /** Nothing runs: the model that should forecast does, and one on probation is looked at. */
  private atRest({ nowMs, monotonicMs }: Facts): void {
    const { slots, group, configured, scores, before, running } = this.parts;
    const { probation, current, reason } = slots.get(group, configured);
    if (running() !== current) {
      if (monotonicMs < this.switchFrom) return;
      this.switchFrom = monotonicMs + SWITCH_AGAIN_MS;
      this.busy = this.leave(running(), reason);
      return;
    }
    if (!probation) return;
    const verdict = watch(scores(), probation.sinceMs, nowMs, { ...PROBATION_DEFAULTS, champion: before() });
    if (verdict.type === 'confirm') {
      slots.confirm(group, configured);
      this.tell({ ...this.last, status: 'confirmed', reason: verdict.reason });
    } else if (verdict.type === 'rollback') {
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
    this.save();
    this.parts.report(report);
  }
}
