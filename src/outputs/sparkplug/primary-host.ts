/**
 * Whether the primary host of the edge node is online, from its STATE messages (Eclipse Sparkplug 3.0, 4.9 and 5.4 to 5.6). No I/O.
 */
import { jsonOrNull } from '../../system/json.ts';

/** Longest STATE payload, bytes: it contains two values. */
const MOST_BYTES = 4096;
/** A time stamp further ahead of the clock is wrong, ms. If it counted, all later STATE messages would be older. */
const MOST_AHEAD_MS = 24 * 3_600_000;

type HostChange = 'online' | 'offline' | 'unchanged' | 'older' | 'ahead' | 'invalid';

export class PrimaryHost {
  readonly topic: string;
  private online = false;
  /** Time stamp of the newest STATE message of this broker, ms since 1970; null: none was received. */
  private timeMs: number | null = null;

  constructor(readonly id: string) {
    this.topic = `spBv1.0/STATE/${id}`;
  }

  /** The connection ended: the next one delivers the retained STATE again. */
  lost(): void {
    this.online = false;
  }

  /** Forgets the time stamps of the former broker. */
  otherBroker(): void {
    this.online = false;
    this.timeMs = null;
  }

  /**
   * @param payload untrusted: from any client that may publish there
   * @param nowMs the wall clock; null while it is not set, so that no time stamp can be compared with it
   */
  receive(payload: Uint8Array, nowMs: number | null): HostChange {
    const state = parse(payload);
    if (state === null) return 'invalid';
    const isAhead = (timeMs: number): boolean => nowMs !== null && timeMs > nowMs + MOST_AHEAD_MS;
    if (isAhead(state.timestamp)) return 'ahead';
    // It was taken while the clock was not set.
    if (this.timeMs !== null && isAhead(this.timeMs)) this.timeMs = null;
    // The death of an earlier session of the host may arrive after its new birth.
    if (this.timeMs !== null && state.timestamp < this.timeMs) return 'older';
    this.timeMs = state.timestamp;
    if (this.online === state.online) return 'unchanged';
    this.online = state.online;
    return state.online ? 'online' : 'offline';
  }
}

function parse(payload: Uint8Array): { readonly online: boolean; readonly timestamp: number } | null {
  if (payload.length > MOST_BYTES) return null;
  const { online, timestamp } = Object(jsonOrNull(payload)) as Record<string, unknown>;
  // Above 2^53 - 1 a time in ms is no number of JavaScript, and `1e999` is infinite.
  return typeof online === 'boolean' &&
    typeof timestamp === 'number' &&
    timestamp >= 0 &&
    timestamp <= Number.MAX_SAFE_INTEGER
    ? { online, timestamp }
    : null;
}
