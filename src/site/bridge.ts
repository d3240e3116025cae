/**
 * Brings the readings of the MQTT broker into the logs of the partitions. A message is acknowledged to the broker only when JetStream
 * has acknowledged all of its readings. Only one message at a time is in flight to each partition, so its readings keep their order
 * through any failure; readings that arrive meanwhile go into the next message.
 */
import { errorText, GatecastError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Sample } from '../series/sample.ts';
import type { StreamSpec } from '../series/spec.ts';
import { type Clock, pause } from '../system/clock.ts';
import { RateLimitedLog } from '../system/rate-limited-log.ts';
import { encodeBatch } from './batch.ts';
import { isLogGone } from './log-writer.ts';
import { inputSubject, partitionOf } from './names.ts';
import type { Site } from './nats.ts';

export interface BridgeMessage {
  readonly samples: readonly Sample[];
  readonly discovered: readonly { readonly spec: StreamSpec }[];
  readonly acknowledge: (() => void) | null;
}

export interface BridgeSite extends Pick<Site, 'nc' | 'name' | 'partitions'> {
  /** Resolves when JetStream has stored the message. */
  readonly publish: (subject: string, text: string) => Promise<void>;
}

interface BridgeParts {
  readonly site: BridgeSite;
  readonly member: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Whether other streams name it as a covariate: then every partition gets its readings. */
  readonly isCovariate: (stream: string) => boolean;
}

/** Readings of one message to a partition: some 30 kB. */
const MOST_READINGS = 500;
/** The settings of a stream are repeated after this time, ms, because the log drops old messages; at once when the log was deleted. */
const SPEC_MS = 3_600_000;
const RETRY_MS = [100, 300, 1000, 3000];
/** A partition that refuses batches for this long raises an alert, ms. */
const FAILING_MS = 5000;

/** Acknowledges a message when JetStream has stored all of its parts. */
interface Pending {
  parts: number;
  readonly acknowledge: (() => void) | null;
}

interface Queued {
  readonly samples: readonly Sample[];
  readonly pending: Pending;
  /** When it was taken, monotonic ms. */
  readonly takenMs: number;
}

interface BridgeStream {
  readonly spec: StreamSpec;
  /** When its settings were last sent to its partition, monotonic ms. */
  sentMs: number;
  /** When they were last sent to others, by partition; null: it is no covariate. */
  copiedMs: Map<number, number> | null;
}

class Route {
  queue: Queued[] = [];
  sending = false;
  /** When the oldest message that is under way was taken, monotonic ms. */
  oldestMs = Number.POSITIVE_INFINITY;
  /** In seconds of the wall clock: when something was last sent. */
  sentS = 0;
  /** What was last vouched for, ms. */
  untilMs: number | null = null;
  failingSinceMs: number | null = null;
  fault: string | null = null;
  /** When the log was last found deleted, monotonic ms: the next one has no settings that were sent before. */
  deletedMs = Number.NEGATIVE_INFINITY;
}

export class SiteBridge {
  readings = 0;
  messages = 0;
  failures = 0;
  private readonly routes: readonly Route[];
  private readonly all: readonly number[];
  private readonly streams = new Map<string, BridgeStream>();
  /** Every reading before it has been taken, ms; null: not known, or the clock is not set. */
  private untilMs: number | null = null;
  /** See `takeLongestWaitMs`. */
  private longestMs = 0;
  private readonly warnings: RateLimitedLog;
  private stopped = false;
  private site: BridgeSite;

  constructor(private readonly parts: BridgeParts) {
    this.site = parts.site;
    this.routes = Array.from({ length: parts.site.partitions }, () => new Route());
    this.all = [...this.routes.keys()];
    this.warnings = new RateLimitedLog(parts.clock);
  }

  /** Uses another connection from now on, also for unconfirmed messages: the MQTT broker repeats them only after its own reconnect. */
  reconnected(site: BridgeSite): void {
    if (site.partitions !== this.routes.length)
      throw new GatecastError('SITE_FAILED', `The site has ${site.partitions} partitions now.`, {
        hint: 'Restart the bridges, so that their MQTT broker sends again what was under way.',
      });
    this.site = site;
  }

  /**
   * @param messages all that have arrived
   * @param untilMs no reading that arrives later is older, ms; null: not known
   */
  take(messages: readonly BridgeMessage[], untilMs: number | null): void {
    this.untilMs = untilMs;
    const takenMs = this.parts.clock.monotonic();
    for (const { samples, discovered, acknowledge } of messages) {
      for (const { spec } of discovered)
        this.streams.set(spec.name, { spec, sentMs: Number.NEGATIVE_INFINITY, copiedMs: null });
      const byPartition = new Map<number, Sample[]>();
      const add = (partition: number, sample: Sample): void => {
        const list = byPartition.get(partition);
        if (list === undefined) byPartition.set(partition, [sample]);
        else list.push(sample);
      };
      for (const sample of samples) {
        if (this.parts.isCovariate(sample.stream)) for (const partition of this.all) add(partition, sample);
        else add(partitionOf(sample.stream, this.routes.length), sample);
      }
      // A message that came before has no readings now: all that is under way may be its own.
      const targets: (readonly [number, readonly Sample[]])[] =
        byPartition.size > 0
          ? [...byPartition]
          : this.routes.flatMap((route, partition) =>
              route.sending || route.queue.length > 0 ? [[partition, []]] : [],
            );
      const pending = { parts: targets.length, acknowledge };
      if (targets.length === 0) acknowledge?.();
      for (const [partition, part] of targets)
        this.routes[partition].queue.push({ samples: part, pending, takenMs });
    }
    for (const [partition, route] of this.routes.entries())
      if (!route.sending && route.queue.length > 0) void this.send(partition, route);
  }

  /** Call after `take`, often: sends the current time to partitions without readings, once a second, so that their buckets close. */
  beat(): void {
    const { member, clock } = this.parts;
    const { site } = this;
    if (site.nc.isClosed()) return;
    const nowS = Math.floor(clock.now() / 1000);
    for (const [partition, route] of this.routes.entries()) {
      if (route.sending || route.queue.length > 0 || route.sentS >= nowS) continue;
      route.sentS = nowS;
      route.untilMs = this.untilMs;
      const text = encodeBatch({ bridge: member, untilMs: this.untilMs, specs: [], samples: [] });
      site.nc.publish(inputSubject(site.name, partition), text);
    }
  }

  /**
   * The longest time from the arrival of a message to its acknowledgement since the last call, ms: of those that wait now, in a queue or
   * under way, and of those acknowledged meanwhile. The broker may have held back others so long.
   */
  takeLongestWaitMs(): number {
    for (const route of this.routes) this.waited(route);
    const longestMs = this.longestMs;
    this.longestMs = 0;
    return longestMs;
  }

  private waited({ oldestMs }: Route): void {
    this.longestMs = Math.max(this.longestMs, this.parts.clock.monotonic() - oldestMs);
  }

  problems(): string[] {
    const nowMs = this.parts.clock.monotonic();
    const failing = this.routes.flatMap(({ failingSinceMs, fault }, partition) =>
      failingSinceMs !== null && nowMs - failingSinceMs >= FAILING_MS ? [{ partition, fault }] : [],
    );
    const [first] = failing;
    if (first === undefined) return [];
    return [
      `readings of ${failing.length} partitions wait at the MQTT broker, such as ${first.partition}: ${first.fault}`,
    ];
  }

  stop(): void {
    this.stopped = true;
  }

  private async send(partition: number, route: Route): Promise<void> {
    route.sending = true;
    try {
      while (route.queue.length > 0 && !this.stopped) {
        const taken = this.next(route);
        route.oldestMs = taken[0]?.takenMs ?? Number.POSITIVE_INFINITY;
        const samples = taken.flatMap((one) => one.samples);
        this.readings += samples.length;
        if (samples.length > 0) await this.deliver(partition, route, samples);
        if (this.stopped) return;
        this.waited(route);
        for (const { pending } of taken) if (--pending.parts === 0) pending.acknowledge?.();
      }
    } finally {
      route.sending = false;
      route.oldestMs = Number.POSITIVE_INFINITY;
    }
  }

  /** The oldest messages of the queue, as many as fit; at least one. */
  private next(route: Route): Queued[] {
    let readings = 0;
    let count = 0;
    for (const { samples } of route.queue) {
      readings += samples.length;
      if (count > 0 && readings > MOST_READINGS) break;
      count++;
    }
    return route.queue.splice(0, count);
  }

  private batchOf(partition: number, route: Route, samples: readonly Sample[]): string {
    const { member, clock } = this.parts;
    const nowMs = clock.monotonic();
    const specs: StreamSpec[] = [];
    for (const name of new Set(samples.map(({ stream }) => stream))) {
      const stream = this.streams.get(name);
      if (stream !== undefined && this.isSpecDue(stream, partition, nowMs)) specs.push(stream.spec);
    }
    // If nothing waits behind it, the partition has all readings up to the time that is vouched for.
    if (route.queue.length === 0 || this.untilMs === null) route.untilMs = this.untilMs;
    return encodeBatch({ bridge: member, untilMs: route.untilMs, specs, samples });
  }

  /** Notes that it is sent. */
  private isSpecDue(stream: BridgeStream, partition: number, nowMs: number): boolean {
    const isOwn = partitionOf(stream.spec.name, this.routes.length) === partition;
    const sentMs = isOwn ? stream.sentMs : (stream.copiedMs?.get(partition) ?? Number.NEGATIVE_INFINITY);
    if (nowMs - sentMs < SPEC_MS && sentMs >= this.routes[partition].deletedMs) return false;
    if (isOwn) stream.sentMs = nowMs;
    else {
      stream.copiedMs ??= new Map();
      stream.copiedMs.set(partition, nowMs);
    }
    return true;
  }

  /** Until JetStream has it. */
  private async deliver(partition: number, route: Route, samples: readonly Sample[]): Promise<void> {
    const { clock, log } = this.parts;
    let text = this.batchOf(partition, route, samples);
    for (let attempt = 0; !this.stopped; attempt++) {
      try {
        await this.site.publish(inputSubject(this.site.name, partition), text);
        route.failingSinceMs = null;
        route.sentS = Math.floor(clock.now() / 1000);
        this.messages++;
        return;
      } catch (error) {
        this.failures++;
        route.failingSinceMs ??= clock.monotonic();
        route.fault = errorText(error);
        if (isLogGone(error)) {
          route.deletedMs = clock.monotonic();
          text = this.batchOf(partition, route, samples);
        }
        this.warnings.say(route.fault, (omitted) =>
          log.error('readings not stored in the log', { partition, reason: route.fault, omitted }),
        );
        const ms = RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)];
        await pause(clock, ms);
      }
    }
  }
}
