/**
 * The path of a message. Messages are decoded on arrival. Then, once per batch window, one round pushes, stores and
 * acknowledges all waiting samples, steps all due streams together, and hands out their forecasts. Rounds never
 * overlap.
 */

import { setImmediate } from 'node:timers/promises';
import { errorFields, errorText, GatecastError } from '../errors.ts';
import type { ForecastEngine } from '../forecast/engine-contract.ts';
import type { Forecast } from '../forecast/forecast.ts';
import type { Incoming } from '../mqtt/connection.ts';
import type { Outputs } from '../outputs/outputs.ts';
import { assumedArrivalMs, type SampleOutcome } from '../series/admission.ts';
import { ASSIGNED_TIME, LATE, OUT_OF_RANGE } from '../series/quality.ts';
import type { Sample } from '../series/sample.ts';
import type { Durability } from '../store/sqlite-store.ts';
import type { Store } from '../store/store-contract.ts';
import { isClockSet } from '../system/clock.ts';
import { RateLimitedLog } from '../system/rate-limited-log.ts';
import { Acknowledgements } from './acknowledgements.ts';
import type { Checkpoints } from './checkpoints.ts';
import type { ClockHold } from './clock-hold.ts';
import type { Counts } from './drops.ts';
import type { FormerStreams } from './former-readings.ts';
import { type DecodedMessage, Inbox, type InboxParts, type NewStream } from './inbox.ts';
import type { LateRestore } from './late-restore.ts';
import type { Link } from './link.ts';
import { markStored } from './marking.ts';
import type { Context, Part } from './part.ts';
import type { RestorePace } from './restore.ts';
import { SenderClocks } from './sender-clocks.ts';
import type { AgentStreams } from './streams.ts';

export interface PipelineParts extends InboxParts {
  readonly former?: Pick<FormerStreams, 'needs' | 'take' | 'load'>;
  readonly engine: ForecastEngine;
  readonly store: Pick<Store, 'append' | 'mark' | 'reject' | 'flush'>;
  readonly checkpoints: Checkpoints;
  readonly batchMs: number;
  readonly flushMs: number;
  readonly durability?: Durability;
  /** Streams of an earlier run that are restored between the rounds; left out: there are none. */
  readonly late?: Pick<LateRestore, 'dueInMs' | 'outcome'>;
  /** Restores some of them. `pace` yields to other tasks and reports progress. */
  readonly restoreSome?: (pace: RestorePace) => Promise<void>;
  /** What becomes of a reading that only the config before a push on probation reads; null: the running one reads it, too. */
  readonly outcomeBefore?: (sample: Sample) => SampleOutcome | null;
  readonly discovered: (streams: readonly NewStream[]) => Promise<void>;
  readonly forecasts: (forecasts: readonly Forecast[], nowMs: number) => void;
  /** @param omitted failures for the same reason that were not reported since the last report */
  readonly failed: (error: unknown, omitted: number | undefined) => void;
  /** Called when every reading of a stream is refused because of its time. */
  readonly wrongClock?: (stream: string, advice: string, omitted: number | undefined) => void;
  /**
   * Called with `true` when the store fails and acknowledgements must wait, and with `false` when it works again. A broker
   * stops sending to a subscriber that does not acknowledge: the samples must then come in another way (QoS 0).
   */
  readonly storeFails?: (failing: boolean) => void;
}

/** Parts and resources that the pipeline uses. */
interface PipelineNeighbours {
  readonly engine: ForecastEngine;
  readonly streams: AgentStreams;
  readonly hold: ClockHold;
  readonly outputs: Pick<Outputs, 'streams'>;
  readonly link: Pick<Link, 'storeFailing'>;
  readonly forecasts: PipelineParts['forecasts'];
}

export function createPipeline(
  { clock, config, log, send, store }: Context,
  parts: PipelineNeighbours,
): Pipeline {
  const { streams, outputs, link } = parts;
  return new Pipeline({
    ...parts,
    clock,
    store,
    router: streams,
    checkpoints: streams.checkpoints,
    get batchMs() {
      return config().publish.batch_window;
    },
    get flushMs() {
      return config().store.flush;
    },
    get durability() {
      return config().store.durability;
    },
    former: streams.former,
    late: streams.late,
    outcomeBefore: (sample) => streams.outcomeBefore(sample),
    restoreSome: (pace) => streams.restoreSome(pace),
    storeFails: (failing) => link.storeFailing(failing),
    discovered: async (found) => {
      await streams.discovered(found);
      outputs.streams(found.map(({ spec }) => spec));
    },
    request: ({ topic, payload }) => send({ topic, payload, qos: 0, retain: false }),
    wrongClock: (stream, advice, omitted) =>
      log.warn('all readings are refused because of their time stamps', { stream, advice, omitted }),
    failed: (error, omitted) => log.error('forecasting failed', { ...errorFields(error), omitted }),
  });
}

/** Longest sleep, because the wall clock may be set meanwhile, ms. */
const MAX_SLEEP_MS = 1000;
const HELD_SLEEP_MS = 25;
/** Maximum buckets of one stream per round: after an outage many are due, while new readings must be stored. */
const MOST_BUCKETS = 16;
/** Longest time that a round blocks the event loop, except for one run of the network, ms. */
const BREATH_MS = 20;
/** Time limit for the forecasts of a round, ms; the remaining streams follow in the next round, after newly arrived messages. */
const ROUND_MS = 100;
/** Time limit for the forecasts at a stop, ms. Buckets left open are rebuilt from stored readings at the next start. */
const END_MS = 300;

export class Pipeline implements Part {
  readonly name = 'pipeline';
  /** Number of accepted samples, and of published forecasts. */
  samples = 0;
  forecasts = 0;
  /** Increases while the pipeline makes progress, even without sensor messages and within a long round. */
  progress = 0;
  /** Why the last round failed; null if it succeeded. */
  fault: string | null = null;
  readonly clocks = new SenderClocks();
  private readonly inbox: Inbox;
  private readonly acknowledgements: Acknowledgements;
  private readonly warnings: RateLimitedLog;
  private actions: (() => Promise<void>)[] = [];
  private timer: { atMs: number; cancel: () => void } | null = null;
  private running: Promise<void> | null = null;
  private breathedMs = 0;
  private readonly pace: RestorePace = { breathe: () => this.breathe(), stopped: () => this.stopped };
  private stopped = true;
  /** Forecasts end at this time of the monotonic clock, ms. */
  private endMs = Number.POSITIVE_INFINITY;

  constructor(private readonly parts: PipelineParts) {
    this.inbox = new Inbox(parts, () => {
      if (this.running === null) this.wake(parts.batchMs);
    });
    this.acknowledgements = new Acknowledgements(parts);
    this.warnings = new RateLimitedLog(parts.clock);
  }

  start(): void {
    this.stopped = false;
    this.endMs = Number.POSITIVE_INFINITY;
    this.acknowledgements.start();
    this.wake(0);
  }

  /** Stores what has arrived, and forecasts due streams as far as time allows; later messages are not accepted. */
  async stop(): Promise<void> {
    this.stopped = true;
    this.endMs = this.parts.clock.monotonic() + END_MS;
    this.timer?.cancel();
    this.timer = null;
    await this.running;
    await this.round();
    this.acknowledgements.flush();
  }

  /**
   * Runs `action` between rounds, so that it may add, remove and change streams and models. Rejects if `action` does.
   * @throws GatecastError BUSY when the pipeline has been stopped
   */
  between<T>(action: () => T | Promise<T>): Promise<T> {
    if (this.stopped) return Promise.reject(new GatecastError('BUSY', 'The agent is not running.'));
    return new Promise((resolve, reject) => {
      this.actions.push(async () => {
        try {
          resolve(await action());
        } catch (error) {
          reject(error);
        }
      });
      if (this.running === null) this.wake(0);
    });
  }

  /** Counts of refused samples, by reason. */
  dropped(): Counts {
    return this.inbox.dropped();
  }

  /** Takes every message: it comes last in the list of parts. */
  receive(message: Incoming): true {
    if (!this.stopped) this.inbox.receive(message);
    return true;
  }

  /** Schedules a round within `delayMs`. */
  private wake(delayMs: number): void {
    if (this.stopped) return;
    const atMs = this.parts.clock.monotonic() + delayMs;
    if (this.timer !== null && this.timer.atMs <= atMs) return;
    this.timer?.cancel();
    const cancel = this.parts.clock.after(delayMs, () => {
      this.timer = null;
      this.running = this.round().finally(() => {
        this.running = null;
        this.wake(Math.min(this.sleepMs(), this.acknowledgements.dueInMs()));
      });
    });
    this.timer = { atMs, cancel };
  }

  private sleepMs(): number {
    const { engine, batchMs } = this.parts;
    const { restoresInMs } = this;
    if (this.actions.length > 0 || engine.behind || restoresInMs === 0) return 0;
    return Math.min(restoresInMs, this.inbox.isEmpty ? this.closesInMs() : batchMs);
  }

  /** Time until the clock may close a bucket, or until the next check of it, ms. */
  private closesInMs(): number {
    const { clock, engine, hold } = this.parts;
    const closeMs = hold.closeUntil();
    if (closeMs === null && isClockSet(clock.now())) return HELD_SLEEP_MS;
    const nowMs = clock.now();
    const dueMs = engine.nextDueMs(nowMs);
    if (dueMs !== null && closeMs !== null && dueMs > closeMs && dueMs <= nowMs) {
      hold.wantProof();
      return HELD_SLEEP_MS;
    }
    // A clock that was never set closes nothing, even if buckets are overdue.
    if (dueMs === null || (dueMs < nowMs && !isClockSet(nowMs))) return MAX_SLEEP_MS;
    return Math.min(MAX_SLEEP_MS, Math.max(1, dueMs - nowMs));
  }

  /** Never rejects: a failed round is reported, and the next one runs. */
  private async round(): Promise<void> {
    this.breathedMs = this.parts.clock.monotonic();
    const { checkpoints } = this.parts;
    try {
      this.fault = null;
      await this.takeWaiting();
      await this.forecast();
    } catch (error) {
      this.failed(error);
    }
    try {
      // After the forecasts, so that they never wait for the disk.
      this.acknowledgements.flushIfDue();
      if (!this.acknowledgements.failing) checkpoints.save();
    } catch (error) {
      this.failed(error);
    }
    await this.act();
    await this.restoreSome();
    this.progress++;
  }

  /** Time until more streams of an earlier run are restored, ms; infinity if there are none. */
  private get restoresInMs(): number {
    const { late, clock } = this.parts;
    return late?.dueInMs(clock.monotonic()) ?? Number.POSITIVE_INFINITY;
  }

  private async restoreSome(): Promise<void> {
    if (this.stopped || this.restoresInMs > 0) return;
    try {
      await this.parts.restoreSome?.(this.pace);
    } catch (error) {
      this.failed(error);
    }
  }

  private async forecast(): Promise<void> {
    const { clock, engine, hold } = this.parts;
    const nowMs = clock.now();
    const sane = isClockSet(nowMs);
    const untilMs = clock.monotonic() + ROUND_MS;
    await engine.tick(hold.closeUntil(), false, {
      most: MOST_BUCKETS,
      handOut: (forecasts) => {
        if (sane) this.handOut(forecasts, nowMs);
      },
      enough: () => clock.monotonic() >= Math.min(untilMs, this.endMs),
      stopped: () => clock.monotonic() >= this.endMs,
      breathe: () => this.breathe(),
    });
    this.mark(nowMs);
  }

  /** Handles the messages received so far with the old streams; messages that arrive meanwhile wait for the new ones. */
  private async act(): Promise<void> {
    if (this.actions.length === 0) return;
    this.inbox.pause();
    try {
      await this.takeWaiting();
      await this.forecast();
    } catch (error) {
      this.failed(error);
    }
    for (const act of this.actions.splice(0)) await act();
    this.inbox.resume();
  }

  /** A stream that cannot be taken up must not cost the readings of the others: they are acknowledged with it. */
  private async meet(streams: readonly NewStream[]): Promise<void> {
    if (streams.length === 0) return;
    try {
      await this.parts.discovered(streams);
    } catch (error) {
      this.failed(error);
    }
  }

  /** A forecast that cannot be published must not prevent the others. */
  private handOut(forecasts: readonly Forecast[], nowMs: number): void {
    this.forecasts += forecasts.length;
    try {
      this.parts.forecasts(forecasts, nowMs);
    } catch (error) {
      this.failed(error);
    }
  }

  private failed(error: unknown): void {
    const reason = errorText(error);
    this.fault = reason;
    this.warnings.say(reason, (omitted) => this.parts.failed(error, omitted));
  }

  /** Yields to other tasks during a long round. */
  private breathe(): Promise<void> | undefined {
    if (this.parts.clock.monotonic() - this.breathedMs < BREATH_MS) return undefined;
    this.progress++;
    return setImmediate().then(() => {
      this.breathedMs = this.parts.clock.monotonic();
    });
  }

  private async timeWaiting(): Promise<void> {
    if (!this.inbox.needsFormer) return;
    try {
      await this.parts.former?.load(this.pace);
    } catch (error) {
      this.failed(error);
    }
    this.inbox.time();
  }

  private async takeWaiting(): Promise<void> {
    await this.timeWaiting();
    const taken = this.inbox.take();
    await this.meet(taken.flatMap((one) => one.discovered));
    const { engine, store, checkpoints, hold, late } = this.parts;
    for (const { acknowledge } of taken) if (acknowledge !== null) this.acknowledgements.add(acknowledge);
    for (const sample of hold.inBacklog ? inTimeOrder(taken) : samplesOf(taken)) {
      const timed = withArrival(sample);
      const outcome = late?.outcome(timed) ?? this.parts.outcomeBefore?.(timed) ?? engine.push(timed);
      const mark = sample.assigned === true ? ASSIGNED_TIME : 0;
      if (outcome === 'accepted') {
        this.samples++;
        store.append(sample, mark);
        checkpoints.accepted(sample.stream);
        this.clocks.accepted(sample.stream);
        continue;
      }
      if (outcome === 'future' || outcome === 'absurd-time') this.wrongTime(sample);
      this.inbox.drop(outcome);
      store.reject(sample.stream, outcome, sample.arrivalMs);
      // Stored for display, and late ones also for training; the mark identifies them when they are read back.
      if (outcome === 'out-of-range') store.append(sample, mark | OUT_OF_RANGE);
      if (outcome === 'late') store.append(sample, mark | LATE);
    }
  }

  private wrongTime(sample: Sample): void {
    const advice = this.clocks.refuse(sample);
    if (advice === null) return;
    const { stream } = sample;
    this.warnings.say(`clock ${stream}`, (omitted) => this.parts.wrongClock?.(stream, advice, omitted));
  }

  /** Sets quality marks on the stored readings of the buckets that the last tick marked. */
  private mark(nowMs: number): void {
    const { engine, store } = this.parts;
    for (const bucket of engine.marked()) {
      markStored(store, bucket);
      const { stream, tooFastMs } = bucket;
      if (tooFastMs.length === 0) continue;
      this.inbox.drop('too-fast', tooFastMs.length);
      store.reject(stream, 'too-fast', nowMs, tooFastMs.length);
    }
  }

  /** The connection is lost: unacknowledged messages will be redelivered. */
  disconnected(): void {
    this.acknowledgements.lost();
  }
}

function* samplesOf(taken: readonly DecodedMessage[]): Generator<Sample> {
  for (const { samples } of taken) yield* samples;
}

/** Sorts samples by time, because in a backlog a newer reading must not make an older one late. */
const inTimeOrder = (taken: readonly DecodedMessage[]): Sample[] =>
  [...samplesOf(taken)].sort((a, b) => a.timeMs - b.timeMs);

/** While the clock is not set, only the time stamp of a reading is checked. */
const withArrival = (sample: Sample): Sample =>
  isClockSet(sample.arrivalMs) ? sample : { ...sample, arrivalMs: assumedArrivalMs(sample.timeMs) };
