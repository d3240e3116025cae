/**
 * The path of a message: decoded on arrival, then, once a batch window, every waiting sample is pushed, stored and
 * acknowledged, all due streams are stepped together, and their forecasts handed out. One round at a time.
 */
import { setImmediate } from 'node:timers/promises';
import { GatecastError } from '../errors.ts';
import type { ForecastEngine } from '../forecast/engine-contract.ts';
import type { Forecast } from '../forecast/forecast.ts';
import type { OutgoingRequest, Router } from '../ingest/router.ts';
import type { DiscoveredStream } from '../ingest/rule.ts';
import { OUT_OF_RANGE } from '../series/quality.ts';
import type { Sample } from '../series/sample.ts';
import type { Store } from '../store/store-contract.ts';
import type { Clock } from '../system/clock.ts';
import { Acknowledgements } from './acknowledgements.ts';
import type { Checkpoints } from './checkpoints.ts';
import { ClockHold } from './clock-hold.ts';
import type { DropReason } from './drops.ts';
import { markStored } from './marking.ts';
import { Seldom } from './seldom.ts';

export interface Incoming {
  readonly topic: string;
  readonly payload: Uint8Array;
  /** Kept by the broker from before, not sent just now. */
  readonly retained: boolean;
  /** Called when the samples are safe in the store; null where the sender expects nothing. */
  readonly acknowledge: (() => void) | null;
}

export interface PipelineParts {
  readonly clock: Clock;
  readonly router: Pick<Router, 'message'>;
  readonly engine: ForecastEngine;
  readonly store: Pick<Store, 'append' | 'mark' | 'reject' | 'flush'>;
  readonly checkpoints: Checkpoints;
  readonly hold: ClockHold;
  readonly batchMs: number;
  readonly flushMs: number;
  /** Samples that may wait for a round, and messages for an action; further ones are dropped and counted. */
  readonly maxQueued?: number;
  /** Takes up streams met for the first time. */
  readonly discovered: (streams: readonly Met[]) => Promise<void>;
  readonly request: (request: OutgoingRequest) => void;
  readonly forecasts: (forecasts: readonly Forecast[], nowMs: number) => void;
  /** @param omitted failures for the same reason that were not told of, since the last that was */
  readonly failed: (error: unknown, omitted: number | undefined) => void;
  /**
   * Told `true` when the store fails, so that acknowledgements have to wait, `false` when they need not any more. A broker
   * stops sending to a subscriber that does not acknowledge: the samples must then come in another way (QoS 0).
   */
  readonly storeFails?: (failing: boolean) => void;
}

const MAX_QUEUED = 100_000;
/** Longest sleep: the wall clock may be set meanwhile, ms. */
const MAX_SLEEP_MS = 1000;
const HELD_SLEEP_MS = 25;
/** Buckets of one stream in one round: after an outage many wait, and meanwhile readings want to be stored. */
const MOST_BUCKETS = 16;
/** Longest that a round keeps the event loop to itself, bar one run of the network, ms. */
const BREATH_MS = 20;

/** A stream met for the first time. */
export interface Met extends DiscoveredStream {
  /** Time of its first reading, ms. */
  readonly firstMs: number;
}

/** With the time it arrived, ms. */
interface Message extends Incoming {
  readonly nowMs: number;
}

interface Waiting {
  readonly samples: readonly Sample[];
  readonly discovered: readonly Met[];
  readonly acknowledge: (() => void) | null;
}

export class Pipeline {
  /** Samples taken, and forecasts handed out. */
  samples = 0;
  forecasts = 0;
  /** Grows for as long as the pipeline gets on: also while no sensor speaks, and within a round that takes long. */
  progress = 0;
  /** Why the last round failed; null when it did not. */
  fault: string | null = null;
  private readonly drops = new Map<DropReason, number>();
  private waiting: Waiting[] = [];
  private waitingSamples = 0;
  private readonly acknowledgements: Acknowledgements;
  private readonly complaints: Seldom;
  private actions: (() => Promise<void>)[] = [];
  private timer: { atMs: number; cancel: () => void } | null = null;
  private running: Promise<void> | null = null;
  private breathedMs = 0;
  /** Messages that came while an action was under way: which streams there are is only known when it is over. */
  private held: Message[] | null = null;
  private stopped = true;

  constructor(private readonly parts: PipelineParts) {
    this.acknowledgements = new Acknowledgements(parts);
    this.complaints = new Seldom(parts.clock);
  }

  start(): void {
    this.stopped = false;
    this.acknowledgements.start();
    this.wake(0);
  }

  /** Handles what has arrived; nothing is taken after this. */
  async stop(): Promise<void> {
    this.stopped = true;
    this.timer?.cancel();
    this.timer = null;
    await this.running;
    await this.round();
    this.acknowledgements.flush();
  }

  /**
   * Runs `action` when no round does, so that it may add, remove and change streams and models. Rejects as it does.
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

  /** Counts of samples not taken, by reason. */
  dropped(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.drops);
  }

  receive({ topic, payload, retained, acknowledge }: Incoming): void {
    if (this.stopped) return;
    const message = { topic, payload, retained, acknowledge, nowMs: this.parts.clock.now() };
    if (this.held === null) this.route(message);
    else if (this.held.length < this.maxQueued)
      this.held.push({ ...message, payload: new Uint8Array(payload) });
    else {
      this.drop('overload');
      acknowledge?.();
    }
  }

  private get maxQueued(): number {
    return this.parts.maxQueued ?? MAX_QUEUED;
  }

  private route({ topic, payload, retained, acknowledge, nowMs }: Message): void {
    const { clock, router, hold } = this.parts;
    const routed = router.message(topic, payload, nowMs);
    for (const request of routed.requests) this.parts.request(request);
    let samples = routed.samples;
    // How old a retained value is, only its own time stamp can tell.
    if (retained) samples = this.keep(samples, (sample) => sample.timeMs !== sample.arrivalMs, 'retained');
    if (this.waitingSamples >= this.maxQueued) samples = this.keep(samples, () => false, 'overload');
    if (samples.length === 0 && routed.discovered.length === 0) {
      acknowledge?.();
      return;
    }
    const monotonicMs = clock.monotonic();
    for (const sample of samples) hold.arrived(nowMs - sample.timeMs, monotonicMs);
    const discovered = routed.discovered.map((stream) => ({
      ...stream,
      firstMs: Math.min(nowMs, ...samples.filter((s) => s.stream === stream.spec.name).map((s) => s.timeMs)),
    }));
    this.waiting.push({ samples, discovered, acknowledge });
    this.waitingSamples += samples.length;
    if (this.running === null) this.wake(this.parts.batchMs);
  }

  private keep(samples: readonly Sample[], wanted: (s: Sample) => boolean, reason: DropReason): Sample[] {
    const kept = samples.filter(wanted);
    this.drop(reason, samples.length - kept.length);
    return kept;
  }

  private drop(reason: DropReason, count = 1): void {
    if (count > 0) this.drops.set(reason, (this.drops.get(reason) ?? 0) + count);
  }

  /** Sees to it that a round begins within `delayMs`. */
  private wake(delayMs: number): void {
    if (this.stopped) return;
    const atMs = this.parts.clock.monotonic() + delayMs;
    if (this.timer !== null && this.timer.atMs <= atMs) return;
    this.timer?.cancel();
    const cancel = this.parts.clock.after(delayMs, () => {
      this.timer = null;
      this.running = this.round().finally(() => {
        this.running = null;
        this.wake(this.sleepMs());
      });
    });
    this.timer = { atMs, cancel };
  }

  private sleepMs(): number {
    const { clock, engine, hold, batchMs } = this.parts;
    if (this.actions.length > 0) return 0;
    if (this.waiting.length > 0) return batchMs;
    if (!hold.mayClose(clock.monotonic())) return HELD_SLEEP_MS;
    const nowMs = clock.now();
    const dueMs = engine.nextDueMs(nowMs);
    // A clock that was never set closes nothing, however long it is due.
    if (dueMs === null || (dueMs < nowMs && !ClockHold.sane(nowMs))) return MAX_SLEEP_MS;
    return Math.min(MAX_SLEEP_MS, Math.max(1, dueMs - nowMs));
  }

  /** Never rejects: a round that fails is reported, and the next one goes on. */
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
    this.progress++;
  }

  private async forecast(): Promise<void> {
    const { clock, engine, hold } = this.parts;
    const nowMs = clock.now();
    const sane = ClockHold.sane(nowMs);
    await engine.tick(sane && hold.mayClose(clock.monotonic()) ? nowMs : null, false, {
      most: MOST_BUCKETS,
      handOut: (forecasts) => {
        if (sane) this.handOut(forecasts, nowMs);
      },
      breathe: () => this.breathe(),
    });
    this.mark(nowMs);
  }

  /** What has arrived is first taken, and forecast, by the streams that it was for; what arrives meanwhile waits to see which there are. */
  private async act(): Promise<void> {
    if (this.actions.length === 0) return;
    const held: Message[] = [];
    this.held = held;
    try {
      await this.takeWaiting();
      await this.forecast();
    } catch (error) {
      this.failed(error);
    }
    for (const act of this.actions.splice(0)) await act();
    this.held = null;
    for (const message of held) this.route(message);
  }

  /** A stream that cannot be taken up must not cost the readings of the others: they are acknowledged with it. */
  private async meet(streams: readonly Met[]): Promise<void> {
    if (streams.length === 0) return;
    try {
      await this.parts.discovered(streams);
    } catch (error) {
      this.failed(error);
    }
  }

  /** One forecast that cannot be told must not cost the others. */
  private handOut(forecasts: readonly Forecast[], nowMs: number): void {
    this.forecasts += forecasts.length;
    try {
      this.parts.forecasts(forecasts, nowMs);
    } catch (error) {
      this.failed(error);
    }
  }

  private failed(error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    this.fault = reason;
    this.complaints.say(reason, (omitted) => this.parts.failed(error, omitted));
  }

  /** Lets everything else have its turn, where a round takes long. */
  private breathe(): Promise<void> | undefined {
    if (this.parts.clock.monotonic() - this.breathedMs < BREATH_MS) return undefined;
    this.progress++;
    return setImmediate().then(() => {
      this.breathedMs = this.parts.clock.monotonic();
    });
  }

  private async takeWaiting(): Promise<void> {
    const taken = this.waiting;
    this.waiting = [];
    this.waitingSamples = 0;
    await this.meet(taken.flatMap((one) => one.discovered));
    const { engine, store, checkpoints } = this.parts;
    for (const { samples, acknowledge } of taken) {
      if (acknowledge !== null) this.acknowledgements.add(acknowledge);
      for (const sample of samples) {
        const outcome = engine.push(ClockHold.timed(sample));
        if (outcome !== 'accepted') {
          this.drop(outcome);
          store.reject(sample.stream, outcome, sample.arrivalMs);
          // Kept to be seen; whatever reads it back knows it by its mark.
          if (outcome === 'out-of-range') store.append(sample, OUT_OF_RANGE);
          continue;
        }
        this.samples++;
        store.append(sample);
        checkpoints.accepted(sample.stream);
      }
    }
  }

  /** Marks the stored readings of the buckets in which the last tick found something wrong. */
  private mark(nowMs: number): void {
    const { engine, store } = this.parts;
    for (const bucket of engine.marked()) {
      markStored(store, bucket);
      const { stream, tooFastMs } = bucket;
      if (tooFastMs.length === 0) continue;
      this.drop('too-fast', tooFastMs.length);
      store.reject(stream, 'too-fast', nowMs, tooFastMs.length);
    }
  }

  /** The connection is gone: what was not acknowledged comes again. */
  disconnected(): void {
    this.acknowledgements.lost();
  }
}
