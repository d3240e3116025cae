/**
 * Decides up to which time the wall clock may close buckets, and whether readings that arrive now are a backlog.
 *
 * The broker, and the network on the way, keep readings while the agent cannot take them. If the clock closed buckets
 * meanwhile, those readings would be too late. So the clock closes buckets only up to the time at which the connection
 * was last known to deliver: a live message proves that, and so does the answer to a ping (the probe), which comes after
 * everything that waited on the way. After a start, a reconnect, a stall of the process or a silent network the clock
 * waits until the backlog has been taken. A wall clock before 2024 was never set: it closes nothing.
 */
import type { StreamView } from '../forecast/engine-contract.ts';
import { type Clock, isClockSet } from '../system/clock.ts';
import type { Link } from './link.ts';
import type { Context, NewConnection, Part } from './part.ts';
import type { AgentStreams } from './streams.ts';

/** How old a reading that has just arrived must be to count as one that the broker had kept, ms. */
const BACKLOG_AGE_MS = 1500;
/** The backlog is over when none of its readings has arrived for this long, ms. */
const QUIET_MS = 500;
/**
 * A broker sends queued messages right after it has accepted the connection, so the first of them arrives before its answer to the
 * subscriptions, even on a slow network. A broker that works in parallel may take this much longer, ms.
 */
const SETTLE_MS = 250;
/** Longest wait for the broker's answer to the subscriptions or the probe, ms after the connection. */
const UNANSWERED_MS = 3000;
/**
 * Limit for a stream whose readings always arrive late, ms after the connection. After a longer absence, the backlog may take
 * as long as the absence.
 */
const MAX_BACKLOG_MS = 15_000;
/** If there is no broker since the start, forecasts continue from stored data after this time, ms after the start. */
const MAX_WAIT_MS = 5000;
/** After an answer that the broker holds messages back, the next probe is sent this much later, ms. */
const ASK_AGAIN_MS = 100;
/** A probe without an answer for this long means that the network delivers nothing, ms. */
const SILENT_MS = 1000;
/** If nothing ran for this long, the event loop or the machine was stalled, ms. */
const STALL_MS = 2500;
/** A connection that delivered this recently needs no probe, ms. */
const FRESH_MS = 50;
/** Longest time that the clock waits for a broker that is away, ms. Later readings are stored and marked as late. */
export const MAX_AWAY_MS = 900_000;

export interface ClockHoldParts {
  readonly clock: Pick<Clock, 'now' | 'monotonic'>;
  /** The streams that are forecast. */
  readonly streams: () => readonly Pick<StreamView, 'lastObservedMs'>[];
  /** `ping` of the MQTT client. */
  readonly probe: (answered: (holdsBack: boolean) => void) => void;
  /** `relearnWindow` of the MQTT client. */
  readonly relearnWindow: () => void;
  /** How long the broker keeps readings for an absent agent, ms. */
  readonly keptMs: () => number;
  /**
   * True for a bridge of a site, by whose times the workers close buckets. Its waits end only with a broker's answer after which no reading
   * is kept, or when the broker keeps none any longer: a slow start or a busy broker may exceed the limits of seconds that end the waits of
   * an agent that works alone.
   */
  readonly isBridge: boolean;
}

/** The clock hold of the agent, which probes the broker with pings. */
export function createClockHold(
  { clock, config }: Pick<Context, 'clock' | 'config'>,
  { client }: Link,
  streams: Pick<AgentStreams, 'lastReadings'>,
): ClockHold {
  return new ClockHold({
    clock,
    streams: () => streams.lastReadings(),
    probe: (answered) => client.ping(answered),
    relearnWindow: () => client.relearnWindow(),
    keptMs: () => (config().mqtt.qos === 0 ? 0 : config().mqtt.session_expiry),
    isBridge: config().site?.role.includes('bridge') === true,
  });
}

type Phase =
  /** No connection since the start. */
  | 'starting'
  /** The connection is lost. */
  | 'away'
  /** The backlog is being taken. */
  | 'backlog'
  | 'live';

/** All times named `...Ms` of this class are of the monotonic clock, except wall times, which are named so. */
export class ClockHold implements Part {
  readonly name = 'clock';
  private phase: Phase = 'starting';
  /** When the streams were restored; the connection begins right after that. */
  private startedMs: number;
  /** Begin of the backlog phase. */
  private sinceMs = 0;
  /**
   * Whether the end of the backlog phase needs the answer of a probe, which a broker must give. While the broker holds messages back
   * until others are acknowledged, its answer proves nothing.
   */
  private needsProof = false;
  /** When the broker answered the subscriptions or the probe of the backlog phase. */
  private answeredMs: number | null = null;
  /** When that probe or those subscriptions were sent. */
  private askedMs = 0;
  /**
   * Whether readings of the backlog that came after the last probe need another one. The age of a reading without a time stamp is a guess
   * during a backlog, so an agent that works alone relies on the second answer; a bridge asks until no old reading comes.
   */
  private asksAgain = true;
  /** Whether readings of this connection came at QoS 1: the broker may hold back others until they are acknowledged. */
  private acknowledges = false;
  /** When the broker was last found to hold back messages. */
  private heldMs = Number.NEGATIVE_INFINITY;
  /** When the last reading of the backlog arrived. */
  private backlogMs = Number.NEGATIVE_INFINITY;
  /** When the connection was last known to deliver. */
  private provenMs: number;
  /** `provenMs` in wall time: no reading of the backlog is older. Null after a start: unknown. */
  private provenWallMs: number | null = null;
  private probe: { readonly sentMs: number } | null = null;
  private beatMs: number;
  private beatWallMs: number;

  constructor(private readonly parts: ClockHoldParts) {
    const { clock } = parts;
    this.startedMs = this.provenMs = this.beatMs = clock.monotonic();
    this.beatWallMs = clock.now();
  }

  /**
   * Reads the wall time of the last reading of the earlier run: messages kept by the broker are newer. The wait for the broker
   * begins here, because restoring many streams may take longer than the wait.
   */
  start(): void {
    this.startedMs = this.provenMs = this.parts.clock.monotonic();
    const newestMs = this.parts
      .streams()
      .reduce((newest, { lastObservedMs }) => Math.max(newest, lastObservedMs ?? 0), 0);
    this.provenWallMs ??= newestMs;
  }

  connected({ resumed }: Pick<NewConnection, 'resumed'>): void {
    if (!resumed) this.provenWallMs = null;
    this.acknowledges = false;
    this.beginBacklog(this.parts.clock.monotonic());
  }

  subscribed(): void {
    // A probe that is needed was sent, or will be, after the subscriptions; its answer comes later.
    if (this.phase === 'backlog' && !this.needsProof) this.answeredMs ??= this.parts.clock.monotonic();
  }

  disconnected(): void {
    this.probe = null;
    if (this.phase !== 'starting') this.phase = 'away';
  }

  /** Call often: detects that the process or the machine was stalled. */
  beat(): void {
    const { clock } = this.parts;
    const nowMs = clock.monotonic();
    const wallMs = clock.now();
    const passedMs = nowMs - this.beatMs;
    // The monotonic clock stops while a machine is suspended; the wall clock does not.
    const stalled = passedMs > STALL_MS || wallMs - this.beatWallMs - passedMs > STALL_MS;
    this.beatMs = nowMs;
    this.beatWallMs = wallMs;
    if (stalled && this.phase === 'live') this.suspect(nowMs);
  }

  /** A message has arrived. Call before `arrived` for its readings. @param atQos1 whether it is acknowledged */
  heard(atQos1: boolean): void {
    this.acknowledges ||= atQos1;
    this.beat();
    if (this.phase !== 'live') return;
    const nowMs = this.parts.clock.monotonic();
    if (this.isSilent(nowMs)) this.suspect(nowMs);
  }

  /**
   * A reading has arrived.
   * @param ageMs age of the reading on its arrival; estimated for one without a time stamp
   */
  arrived(ageMs: number): void {
    const nowMs = this.parts.clock.monotonic();
    if (ageMs > BACKLOG_AGE_MS) this.backlogMs = nowMs;
    else if (this.phase === 'live' && this.probe === null) this.prove(nowMs);
  }

  /** Whether readings that arrive now may have been queued, so that their order of arrival is not their order in time. */
  get inBacklog(): boolean {
    return this.phase === 'backlog';
  }

  /** Wall time from which on the readings that arrive now may have been kept, ms; null: they are live. */
  backlogFrom(): number | null {
    // While the connection is lost, only readings arrive that the socket had received before.
    return this.phase === 'backlog' || this.phase === 'away' ? this.provenWallMs : null;
  }

  /** Wall time up to which buckets may be closed, ms; null: none. Sends a probe if necessary. */
  closeUntil(): number | null {
    this.beat();
    const { clock } = this.parts;
    const nowMs = clock.monotonic();
    const wallMs = clock.now();
    if (!isClockSet(wallMs)) return null;
    this.update(nowMs);
    if (this.phase === 'starting') return nowMs - this.startedMs >= this.longestStartMs() ? wallMs : null;
    const awayMs = nowMs - this.provenMs;
    if (this.phase === 'away') return awayMs >= this.longestAwayMs() ? wallMs : null;
    if (this.phase === 'backlog') return awayMs >= MAX_AWAY_MS ? wallMs : null;
    if (awayMs <= FRESH_MS || awayMs >= MAX_AWAY_MS) return wallMs;
    return wallMs - awayMs;
  }

  /** Why the clock closes no buckets now; null: it closes them. `untilMs`: latest wall time at which it starts to close them. */
  waiting(): {
    readonly reason: 'clock' | 'start' | 'away' | 'backlog';
    readonly untilMs: number | null;
  } | null {
    if (this.closeUntil() !== null) return null;
    const { clock } = this.parts;
    const wallMs = clock.now();
    if (!isClockSet(wallMs)) return { reason: 'clock', untilMs: null };
    const nowMs = clock.monotonic();
    const at = (ms: number): number => wallMs + ms - nowMs;
    if (this.phase === 'starting')
      return { reason: 'start', untilMs: at(this.startedMs + this.longestStartMs()) };
    if (this.phase === 'away') return { reason: 'away', untilMs: at(this.provenMs + this.longestAwayMs()) };
    return { reason: 'backlog', untilMs: at(this.longSinceMs() + this.longestBacklogMs()) };
  }

  /** Call when `closeUntil` does not allow a due bucket to close: sends a probe to find out whether messages are still on their way. */
  wantProof(): void {
    if (this.phase === 'live') this.sendProbe(this.parts.clock.monotonic());
  }

  /**
   * Call when messages cannot be acknowledged: the broker may hold back others until they are. Call again while that lasts,
   * and once when it has ended.
   */
  heldBack(): void {
    if (this.phase !== 'live') return;
    this.parts.relearnWindow();
    this.suspect(this.parts.clock.monotonic());
  }

  private update(nowMs: number): void {
    if (this.phase !== 'backlog') return;
    const isLong = nowMs - this.longSinceMs() >= this.longestBacklogMs();
    if (this.needsProof && this.answeredMs === null) {
      if (nowMs - this.heldMs >= ASK_AGAIN_MS) this.sendProbe(nowMs);
      // A broker that sends few messages at a time may hold some back whenever it is asked.
      const isHeldLong = isLong && !this.parts.isBridge && this.heldMs > this.sinceMs;
      if (!isHeldLong) return;
    }
    const settledMs = this.answeredMs === null ? this.sinceMs + UNANSWERED_MS : this.answeredMs + SETTLE_MS;
    // At QoS 0 no message waits for acknowledgements of others, so the second question need not wait for a pause either. A session from
    // before `mqtt.qos` was changed may still have messages at QoS 1.
    const mayHoldBack = this.parts.isBridge || this.parts.keptMs() > 0 || this.acknowledges;
    const needsPause = this.asksAgain && mayHoldBack;
    const isQuiet = nowMs >= settledMs && (!needsPause || nowMs - this.backlogMs >= QUIET_MS);
    if (!isLong && !isQuiet) return;
    if (!isLong && this.asksAgain && this.backlogMs >= this.askedMs) {
      // Since then, acknowledgements may have let the broker send more. It answers after that.
      this.asksAgain = this.parts.isBridge;
      this.answeredMs = null;
      this.needsProof = true;
      this.sendProbe(nowMs);
      return;
    }
    this.phase = 'live';
    this.probe = null;
    // A broker may send a backlog in more messages at a time than its window allows.
    this.parts.relearnWindow();
    this.prove(this.needsProof ? this.askedMs : nowMs);
  }

  private longestStartMs(): number {
    return this.parts.isBridge ? Math.max(MAX_WAIT_MS, this.longestAwayMs()) : MAX_WAIT_MS;
  }

  private longestAwayMs(): number {
    return Math.min(this.parts.keptMs(), MAX_AWAY_MS);
  }

  /** Begin of the limit for streams whose readings always arrive late: what arrives while the broker holds messages back is a backlog. */
  private longSinceMs(): number {
    return this.parts.isBridge ? Math.max(this.sinceMs, this.heldMs) : this.sinceMs;
  }

  private longestBacklogMs(): number {
    return Math.max(MAX_BACKLOG_MS, this.sinceMs - this.provenMs);
  }

  private prove(nowMs: number): void {
    this.provenMs = nowMs;
    this.provenWallMs = this.parts.clock.now() - (this.parts.clock.monotonic() - nowMs);
  }

  private isSilent(nowMs: number): boolean {
    return this.probe !== null && nowMs - this.probe.sentMs > SILENT_MS;
  }

  private beginBacklog(nowMs: number): void {
    this.phase = 'backlog';
    this.sinceMs = nowMs;
    this.answeredMs = null;
    this.askedMs = nowMs;
    this.asksAgain = true;
    this.needsProof = this.parts.isBridge;
    this.probe = null;
  }

  /** Treats readings that arrive now as a possible backlog. */
  private suspect(nowMs: number): void {
    this.beginBacklog(nowMs);
    this.needsProof = true;
    this.sendProbe(nowMs);
  }

  private sendProbe(nowMs: number): void {
    if (this.probe !== null) return;
    const probe = { sentMs: nowMs };
    this.probe = probe;
    this.parts.probe((holdsBack) => {
      if (this.probe !== probe) return;
      const answeredMs = this.parts.clock.monotonic();
      const late = answeredMs - probe.sentMs > SILENT_MS;
      this.probe = null;
      if (holdsBack && (this.phase === 'backlog' || this.parts.isBridge)) {
        this.heldMs = answeredMs;
        return;
      }
      // The network was away and is back; readings that were kept may come after this answer.
      if (this.phase === 'live' && late) this.beginBacklog(answeredMs);
      else if (this.phase === 'live') this.prove(probe.sentMs);
      if (this.phase !== 'backlog' || this.answeredMs !== null) return;
      this.answeredMs = answeredMs;
      this.askedMs = probe.sentMs;
    });
  }
}
