/**
 * Decodes messages on arrival and queues their readings for the next round. The queue is bounded, and what does not
 * fit is counted. While a config change replaces the streams, messages wait undecoded, because the new set of
 * streams is not known yet.
 */
import type { OutgoingRequest, Router } from '../ingest/router.ts';
import type { DiscoveredStream } from '../ingest/rule.ts';
import { SPARKPLUG_PREFIX } from '../ingest/sparkplug-payload.ts';
import type { Incoming } from '../mqtt/connection.ts';
import type { Reading, Sample } from '../series/sample.ts';
import type { Clock } from '../system/clock.ts';
import { ArrivalTimes } from './arrival-times.ts';
import type { ClockHold } from './clock-hold.ts';
import type { Counts, DropReason } from './drops.ts';
import type { FormerStreams } from './former-readings.ts';

export interface NewStream extends DiscoveredStream {
  /** Time of its first reading, ms. */
  readonly firstMs: number;
}

export interface InboxParts {
  readonly clock: Clock;
  readonly router: Pick<Router, 'message'>;
  readonly hold: ClockHold;
  /** Most samples waiting for a round, and messages waiting for a change of streams; further ones are dropped and counted. */
  readonly maxQueued?: number;
  readonly request: (request: OutgoingRequest) => void;
  /** Data from an earlier run about streams without time stamps. */
  readonly former?: Pick<FormerStreams, 'needs' | 'take'>;
}

const MAX_QUEUED = 100_000;
/** Longest time for decoding the parts of large messages before other events have a turn, ms. */
const TURN_MS = 10;
/** Total size of undecoded payloads. */
const MAX_HELD_BYTES = 32 * 1024 * 1024;

/** With the time it arrived, ms. */
interface Message extends Incoming {
  readonly nowMs: number;
  /** A further part of a large message. */
  readonly continues?: boolean;
}

export interface DecodedMessage {
  readonly samples: readonly Sample[];
  readonly discovered: readonly NewStream[];
  readonly acknowledge: (() => void) | null;
}

/** A decoded message whose readings without a time stamp have no time yet. */
interface Untimed {
  readonly samples: readonly Reading[];
  readonly discovered: readonly DiscoveredStream[];
  readonly acknowledge: (() => void) | null;
  readonly nowMs: number;
  readonly backlogFromMs: number | null;
}

const NONE: readonly NewStream[] = [];
const NO_PARTS: readonly Uint8Array[] = [];

const withFirstTimes = (
  streams: readonly DiscoveredStream[],
  samples: readonly Sample[],
  nowMs: number,
): NewStream[] =>
  streams.map((stream) => ({
    ...stream,
    firstMs: Math.min(nowMs, ...samples.filter((s) => s.stream === stream.spec.name).map((s) => s.timeMs)),
  }));

export class Inbox {
  private readonly drops = new Map<DropReason, number>();
  private waiting: DecodedMessage[] = [];
  private waitingSamples = 0;
  /** Messages that wait for the data of earlier runs, and those after them. */
  private untimed: Untimed[] = [];
  /** Undecoded messages during a change of streams; null otherwise. */
  private held: Message[] | null = null;
  private heldBytes = 0;
  /** Whether a turn for `inTurns` is scheduled. */
  private isScheduled = false;
  /** Further parts of large Sparkplug messages, and the Sparkplug messages behind them, whose aliases these parts may define. */
  private readonly inTurns: Message[] = [];
  private readonly maxQueued: number;
  private readonly times: ArrivalTimes;

  /** @param arrived called when a message waits */
  constructor(
    private readonly parts: InboxParts,
    private readonly arrived: () => void,
  ) {
    this.maxQueued = parts.maxQueued ?? MAX_QUEUED;
    this.times = new ArrivalTimes((stream) => parts.former?.take(stream) ?? null);
  }

  /** Whether nothing waits for a round. */
  get isEmpty(): boolean {
    return this.waiting.length === 0 && !this.needsFormer;
  }

  /** Whether messages wait for the data of earlier runs. */
  get needsFormer(): boolean {
    return this.untimed.length > 0;
  }

  /** Assigns times to the messages that have waited for the data of earlier runs. */
  time(): void {
    for (const message of this.untimed.splice(0)) this.finish(message);
  }

  receive({ topic, payload, retained, again = false, acknowledge }: Incoming): void {
    if (again) {
      // Repeated messages come first on a new connection; the stored backlog follows them.
      this.parts.hold.heard(true);
      this.parts.hold.arrived(Number.POSITIVE_INFINITY);
      this.waiting.push({ samples: [], discovered: [], acknowledge });
      this.arrived();
      return;
    }
    const message = { topic, payload, retained, acknowledge, nowMs: this.parts.clock.now() };
    const queue = this.held ?? (this.waitsForParts(topic) ? this.inTurns : null);
    if (queue === null) this.route(message);
    else if (queue.length < this.maxQueued && this.heldBytes + payload.length <= MAX_HELD_BYTES) {
      queue.push({ ...message, payload: new Uint8Array(payload) });
      this.heldBytes += payload.length;
    } else {
      this.drop('overload');
      acknowledge?.();
    }
  }

  /** Takes all waiting results, oldest first. */
  take(): readonly DecodedMessage[] {
    const taken = this.waiting;
    this.waiting = [];
    this.waitingSamples = 0;
    return taken;
  }

  /** Stops decoding: messages wait undecoded from now on. */
  pause(): void {
    this.held = [];
  }

  /** Decodes the waiting messages. */
  resume(): void {
    const held = this.held ?? [];
    this.held = null;
    for (const message of held) {
      if (this.waitsForParts(message.topic)) this.inTurns.push(message);
      else {
        this.heldBytes -= message.payload.length;
        this.route(message);
      }
    }
    if (this.inTurns.length > 0) this.takeTurn();
  }

  drop(reason: DropReason, count = 1): void {
    if (count > 0) this.drops.set(reason, (this.drops.get(reason) ?? 0) + count);
  }

  dropped(): Counts {
    return Object.fromEntries(this.drops);
  }

  private waitsForParts(topic: string): boolean {
    return this.inTurns.length > 0 && topic.startsWith(SPARKPLUG_PREFIX);
  }

  /** Decodes the first messages of `inTurns` in a later turn of the event loop. */
  private takeTurn(): void {
    if (this.isScheduled) return;
    this.isScheduled = true;
    this.parts.clock.after(0, () => {
      this.isScheduled = false;
      if (this.held !== null) return;
      const fromMs = this.parts.clock.monotonic();
      do {
        const next = this.inTurns.shift();
        if (next === undefined) return;
        this.heldBytes -= next.payload.length;
        this.route(next);
      } while (this.parts.clock.monotonic() - fromMs < TURN_MS);
      this.takeTurn();
    });
  }

  /** The last part acknowledges the whole message. */
  private takeInTurns(whole: Message, rest: readonly Uint8Array[]): void {
    const last = rest.length - 1;
    const parts = rest.map((payload, at): Message => {
      this.heldBytes += payload.length;
      return { ...whole, payload, continues: true, acknowledge: at === last ? whole.acknowledge : null };
    });
    // The remaining parts come before the messages that arrived after the large one.
    this.inTurns.unshift(...parts);
    this.takeTurn();
  }

  private route(whole: Message): void {
    const { topic, payload, retained, nowMs, continues = false } = whole;
    const { router, hold } = this.parts;
    const routed = router.message(topic, payload, nowMs, retained, continues);
    const { rest = NO_PARTS } = routed;
    if (rest.length > 0) this.takeInTurns(whole, rest);
    const acknowledge = rest.length > 0 ? null : whole.acknowledge;
    for (const request of routed.requests) this.parts.request(request);
    let samples = routed.samples;
    // The age of a retained value is known only from its time stamp.
    if (retained) samples = this.keep(samples, ({ timeMs }) => timeMs !== null, 'retained');
    if (this.waitingSamples >= this.maxQueued) samples = this.keep(samples, () => false, 'overload');
    if (samples.length === 0 && routed.discovered.length === 0 && !(continues && acknowledge !== null)) {
      acknowledge?.();
      return;
    }
    hold.heard(whole.acknowledge !== null);
    const backlogFromMs = hold.backlogFrom();
    const message = { samples, discovered: routed.discovered, acknowledge, nowMs, backlogFromMs };
    if (this.needsFormer || (backlogFromMs !== null && samples.some((sample) => this.lacksFormer(sample))))
      this.untimed.push(message);
    else this.finish(message);
    this.waitingSamples += samples.length;
    this.arrived();
  }

  private lacksFormer({ stream, timeMs }: Reading): boolean {
    return timeMs === null && !this.times.knows(stream) && this.parts.former?.needs(stream) === true;
  }

  private finish({ samples: decoded, discovered: found, acknowledge, nowMs, backlogFromMs }: Untimed): void {
    const samples = decoded.map((sample) =>
      sample.timeMs === null ? this.times.timed(sample, backlogFromMs) : sample,
    );
    for (const sample of samples) this.parts.hold.arrived(nowMs - sample.timeMs);
    const discovered = found.length === 0 ? NONE : withFirstTimes(found, samples, nowMs);
    this.waiting.push({ samples, discovered, acknowledge });
  }

  private keep(samples: readonly Reading[], wanted: (s: Reading) => boolean, reason: DropReason): Reading[] {
    const kept = samples.filter(wanted);
    this.drop(reason, samples.length - kept.length);
    return kept;
  }
}
