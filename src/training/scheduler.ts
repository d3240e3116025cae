/**
 * When to fine-tune: when the schedule, drift or an owner asks, and once there is enough to learn from; never while the
 * machine is busy or hot, never again too soon after a failure. A state machine without a clock of its own: facts in, one
 * action out. Pure.
 */

export type Trigger = 'request' | 'drift' | 'schedule' | 'initial';

export interface SchedulerSettings {
  readonly onDrift: boolean;
  /** Highest load of the machine (1 minute mean over cores) to begin or go on at, 0..1 and above. */
  readonly maxLoad: number;
  /** degrees Celsius; null: not watched. */
  readonly maxTemperature: number | null;
  /** Least time between runs that drift begins, ms. */
  readonly betweenDriftMs: number;
  /** A run that takes longer than this, pauses not counted, is given up: it hangs. ms */
  readonly mostRunMs: number;
  /** A run that was held back longer than this in all is given up, ms. */
  readonly mostPauseMs: number;
  /** Wait after a first failure; doubles with each further one. */
  readonly backoffMs: number;
  readonly mostBackoffMs: number;
}

export const SCHEDULER_DEFAULTS: SchedulerSettings = {
  onDrift: true,
  maxLoad: 0.7,
  maxTemperature: 75,
  betweenDriftMs: 6 * 3_600_000,
  mostRunMs: 20 * 60_000,
  mostPauseMs: 2 * 3_600_000,
  backoffMs: 15 * 60_000,
  mostBackoffMs: 24 * 3_600_000,
};

/** What is so now. */
export interface Facts {
  /** Wall clock, ms; may jump. */
  readonly nowMs: number;
  /** Monotonic, ms. */
  readonly monotonicMs: number;
  /** false while the wall clock cannot be believed. */
  readonly clockSane: boolean;
  /** Load over cores, without what training itself adds; null: unknown. */
  readonly load: number | null;
  /** degrees Celsius; null: unknown. */
  readonly temperature: number | null;
  /** Why there is not enough to learn from; null: there is. */
  readonly shortage: string | null;
}

export type Action =
  | { readonly type: 'none'; readonly reason: string }
  | { readonly type: 'start'; readonly trigger: Trigger }
  | { readonly type: 'pause'; readonly reason: string }
  | { readonly type: 'resume' }
  | { readonly type: 'stop'; readonly reason: string };

/** Survives restarts. Times are of the wall clock, ms. */
export interface SchedulerState {
  /** A run is under way: when this is read at a start, the run took the agent with it. */
  readonly running: boolean;
  readonly lastEndMs: number | null;
  readonly failures: number;
  readonly notBeforeMs: number;
  readonly pending: Trigger | null;
}

const FRESH_SCHEDULER: SchedulerState = {
  running: false,
  lastEndMs: null,
  failures: 0,
  notBeforeMs: 0,
  pending: null,
};

/** Begins again only this far below the limits, so that it does not flutter. */
const LOAD_SLACK = 0.8;
const TEMPERATURE_SLACK = 5;
/** Two weaker triggers never replace a stronger one. */
const STRENGTH: Record<Trigger, number> = { initial: 0, schedule: 1, drift: 2, request: 3 };

export class Scheduler {
  private running = false;
  private startedMs = 0;
  private pausedSince: number | null = null;
  private pausedMs = 0;
  private state: SchedulerState;

  constructor(
    private readonly settings: SchedulerSettings,
    state: SchedulerState = FRESH_SCHEDULER,
  ) {
    this.state = state;
  }

  save(): SchedulerState {
    return this.state;
  }

  get busy(): boolean {
    return this.running;
  }

  /** Something asks for a run; it begins when `next` finds that it may. */
  request(trigger: Exclude<Trigger, 'initial'>): void {
    if (trigger === 'drift' && !this.settings.onDrift) return;
    this.want(trigger);
  }

  /** Call every few seconds. After 'start' tell `finished`, whatever becomes of the run. */
  next(facts: Facts): Action {
    return this.running ? this.whileRunning(facts) : this.whileIdle(facts);
  }

  /** @param outcome 'failed' is tried again later, the other two are answers */
  finished(outcome: 'promoted' | 'refused' | 'failed', nowMs: number): void {
    const { backoffMs, mostBackoffMs } = this.settings;
    this.running = false;
    this.pausedSince = null;
    const failures = outcome === 'failed' ? this.state.failures + 1 : 0;
    const wait = failures > 0 ? Math.min(mostBackoffMs, backoffMs * 2 ** (failures - 1)) : 0;
    const pending = outcome === 'failed' ? (this.state.pending ?? 'schedule') : this.state.pending;
    this.state = { running: false, lastEndMs: nowMs, failures, notBeforeMs: nowMs + wait, pending };
  }

  /** The run was ended for no fault of its own; it is made up for. */
  cutShort(): void {
    this.running = false;
    this.pausedSince = null;
    this.state = { ...this.state, running: false };
    this.want('request');
  }

  private whileIdle(facts: Facts): Action {
    if (!facts.clockSane) return none('the clock is not set');
    this.heedClock(facts.nowMs);
    // Else a run that ends the agent (memory) would do so at every start.
    if (this.state.running) this.finished('failed', facts.nowMs);
    if (this.state.lastEndMs === null && facts.shortage === null) this.want('initial');
    const { pending, notBeforeMs, lastEndMs } = this.state;
    if (!pending) return none('nothing asks for it');
    // An owner who asks again knows of the failure.
    if (facts.nowMs < notBeforeMs && pending !== 'request') return none('waiting after a failure');
    if (pending === 'drift' && lastEndMs !== null && facts.nowMs - lastEndMs < this.settings.betweenDriftMs) {
      return none('drift, but the last run is too recent');
    }
    if (facts.shortage !== null) return none(facts.shortage);
    const busy = this.obstacle(facts, true);
    if (busy) return none(busy);
    this.running = true;
    this.startedMs = facts.monotonicMs;
    this.pausedMs = 0;
    this.state = { ...this.state, running: true, pending: null };
    return { type: 'start', trigger: pending };
  }

  private whileRunning(facts: Facts): Action {
    const { mostRunMs, mostPauseMs } = this.settings;
    const obstacle = this.obstacle(facts, this.pausedSince !== null);
    if (this.pausedSince === null) {
      if (facts.monotonicMs - this.startedMs - this.pausedMs > mostRunMs)
        return { type: 'stop', reason: `not done after ${Math.round(mostRunMs / 1000)} s` };
      if (!obstacle) return none('running');
      this.pausedSince = facts.monotonicMs;
      return { type: 'pause', reason: obstacle };
    }
    const held = this.pausedMs + facts.monotonicMs - this.pausedSince;
    if (held > mostPauseMs) return { type: 'stop', reason: `held back too long: ${obstacle ?? 'busy'}` };
    if (obstacle) return none(obstacle);
    this.pausedMs = held;
    this.pausedSince = null;
    return { type: 'resume' };
  }

  /** Why the machine should not train; null: it may. */
  private obstacle({ load, temperature }: Facts, toBegin: boolean): string | null {
    const { maxLoad, maxTemperature } = this.settings;
    const loadLimit = toBegin ? maxLoad * LOAD_SLACK : maxLoad;
    if (load !== null && load > loadLimit) return `the machine is busy (load ${load.toFixed(2)})`;
    if (maxTemperature === null || temperature === null) return null;
    const limit = toBegin ? maxTemperature - TEMPERATURE_SLACK : maxTemperature;
    return temperature > limit ? `the machine is hot (${Math.round(temperature)} degrees)` : null;
  }

  /** A clock that jumped back would wait for times long past. */
  private heedClock(nowMs: number): void {
    const back = (time: number | null) => (time !== null && time > nowMs ? nowMs : time);
    const { lastEndMs, notBeforeMs } = this.state;
    const soonest = Math.min(notBeforeMs, nowMs + this.settings.mostBackoffMs);
    this.state = {
      ...this.state,
      lastEndMs: back(lastEndMs),
      notBeforeMs: soonest,
    };
  }

  private want(trigger: Trigger): void {
    const { pending } = this.state;
    if (pending && STRENGTH[pending] >= STRENGTH[trigger]) return;
    this.state = { ...this.state, pending: trigger };
  }
}

function none(reason: string): Action {
  return { type: 'none', reason };
}
