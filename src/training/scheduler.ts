/**
 * Decides when to fine-tune: on schedule, drift or request, and once when there is enough history; not while the machine
 * is busy or hot, and not too soon after a failure. A state machine without its own clock: facts in, one action out. Pure.
 */

export type Trigger = 'request' | 'drift' | 'schedule' | 'initial';

export interface SchedulerSettings {
  readonly onDrift: boolean;
  /** Maximum load of the machine (1-minute mean / cores) for starting or continuing a run; may exceed 1. */
  readonly maxLoad: number;
  /** degrees Celsius; null: not watched. */
  readonly maxTemperature: number | null;
  /** Minimum time between runs triggered by drift, ms. */
  readonly betweenDriftMs: number;
  /** Maximum duration of a run without pauses, ms; a longer one is aborted, because it hangs. */
  readonly mostRunMs: number;
  /** Maximum total duration of pauses, ms; a run paused longer is aborted. */
  readonly mostPauseMs: number;
  /** Delay after the first failure; doubles with each further one. */
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

/** Current facts. */
export interface Facts {
  /** Wall clock, ms; may jump. */
  readonly nowMs: number;
  /** Monotonic, ms. */
  readonly monotonicMs: number;
  /** false while the wall clock is not plausible. */
  readonly clockSane: boolean;
  /** Load / cores, without the training's own; null: unknown. */
  readonly load: number | null;
  /** degrees Celsius; null: unknown. */
  readonly temperature: number | null;
  /** Why a run cannot start; null: it can. */
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
  /** A run is in progress. If true at a start of the agent, the run crashed the agent. */
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

/** Hysteresis: a paused run resumes only this far below the limits. */
const LOAD_SLACK = 0.8;
const TEMPERATURE_SLACK = 5;
/** A weaker trigger never replaces a stronger one. */
const STRENGTH: Record<Trigger, number> = { initial: 0, schedule: 1, drift: 2, request: 3 };

export class Scheduler {
  private running = false;
  private startedMs = 0;
  private pausedSince: number | null = null;
  private pausedMs = 0;

  constructor(
    private readonly settings: SchedulerSettings,
    private state: SchedulerState = FRESH_SCHEDULER,
  ) {}

  save(): SchedulerState {
    return this.state;
  }

  get busy(): boolean {
    return this.running;
  }

  /** Requests a run, which starts when `next` allows it. */
  request(trigger: Exclude<Trigger, 'initial'>): void {
    if (trigger === 'drift' && !this.settings.onDrift) return;
    this.want(trigger);
  }

  /** Call every few seconds. After 'start', call `finished` when the run ends, however it ends. */
  next(facts: Facts): Action {
    return this.running ? this.whileRunning(facts) : this.whileIdle(facts);
  }

  /** @param outcome 'failed' is retried later; the other two are final */
  finished(outcome: 'promoted' | 'refused' | 'failed', nowMs: number): void {
    const { backoffMs, mostBackoffMs } = this.settings;
    this.running = false;
    this.pausedSince = null;
    const failures = outcome === 'failed' ? this.state.failures + 1 : 0;
    const wait = failures > 0 ? Math.min(mostBackoffMs, backoffMs * 2 ** (failures - 1)) : 0;
    const pending = outcome === 'failed' ? (this.state.pending ?? 'schedule') : this.state.pending;
    this.state = { running: false, lastEndMs: nowMs, failures, notBeforeMs: nowMs + wait, pending };
  }

  /** The run was interrupted; it is repeated. */
  cutShort(): void {
    this.running = false;
    this.pausedSince = null;
    this.state = { ...this.state, running: false };
    this.want('request');
  }

  private whileIdle(facts: Facts): Action {
    if (!facts.clockSane) return none('the clock is not set');
    this.heedClock(facts.nowMs);
    // Otherwise a run that crashes the agent (out of memory) would crash it at every start.
    if (this.state.running) this.finished('failed', facts.nowMs);
    if (this.state.lastEndMs === null && facts.shortage === null) this.want('initial');
    const { pending, notBeforeMs, lastEndMs } = this.state;
    if (!pending) return none(facts.shortage ?? 'no trigger');
    // An owner's request ignores the delay.
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
        return { type: 'stop', reason: `not finished after ${Math.round(mostRunMs / 1000)} s` };
      if (!obstacle) return none('running');
      this.pausedSince = facts.monotonicMs;
      return { type: 'pause', reason: obstacle };
    }
    const held = this.pausedMs + facts.monotonicMs - this.pausedSince;
    if (held > mostPauseMs) return { type: 'stop', reason: `paused too long: ${obstacle ?? 'busy'}` };
    if (obstacle) return none(obstacle);
    this.pausedMs = held;
    this.pausedSince = null;
    return { type: 'resume' };
  }

  /** Why the machine should not train; null if it may. */
  private obstacle({ load, temperature }: Facts, toBegin: boolean): string | null {
    const { maxLoad, maxTemperature } = this.settings;
    const loadLimit = toBegin ? maxLoad * LOAD_SLACK : maxLoad;
    if (load !== null && load > loadLimit) return `the machine is busy (load ${load.toFixed(2)})`;
    if (maxTemperature === null || temperature === null) return null;
    const limit = toBegin ? maxTemperature - TEMPERATURE_SLACK : maxTemperature;
    return temperature > limit ? `the machine is hot (${Math.round(temperature)} degrees)` : null;
  }

  /** Corrects stored times after the clock jumped back: they would lie in the future. */
  private heedClock(nowMs: number): void {
    const back = (time: number | null) => (time !== null && time > nowMs ? nowMs : time);
    const { lastEndMs, notBeforeMs } = this.state;
    const soonest = Math.min(notBeforeMs, nowMs + this.settings.mostBackoffMs);
    this.state = { ...this.state, lastEndMs: back(lastEndMs), notBeforeMs: soonest };
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
