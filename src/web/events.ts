/**
 * Server-sent events for the page. There is no queue per client: each has a cursor into the board, and each round sends
 * what is newer. A slow client skips rounds and then gets the newest state; a client that reads nothing for `stuckMs` is
 * disconnected.
 */
import type { ServerResponse } from 'node:http';
import type { Clock } from '../system/clock.ts';
import type { Board } from './board.ts';
import { detail, type PageStatus, streamRow } from './wire.ts';

interface EventsOptions {
  readonly board: Board;
  readonly status: () => PageStatus;
  readonly clock: Clock;
  readonly maxClients: number;
  /** Bytes that may wait in one client's socket before its rounds are skipped. */
  readonly maxBufferBytes: number;
  readonly roundMs: number;
  readonly statusMs: number;
  /** A client that reads nothing for this long is disconnected. */
  readonly stuckMs: number;
}

/** A stream shown by a client. */
interface Watched {
  readonly name: string;
  /** `stream`: with its history and forecast; `row`: as a row of the list. */
  readonly as: 'stream' | 'row';
}

const keyOf = ({ name, as }: Watched): string => `${as} ${name}`;

interface Client {
  readonly response: ServerResponse;
  readonly watched: readonly Watched[];
  /** Newest revision and bucket sent, by `keyOf`. */
  readonly cursors: Map<string, { revision: number; timeMs: number }>;
  /** Index in `watched` of the stream to send next. */
  turn: number;
  generation: number;
  statusAtMs: number;
  takenAtMs: number;
}

export const MAX_WATCHED = 64;
/** Time limit of a round, ms, checked after each stream: the same thread makes the forecasts. */
const MOST_BUSY_MS = 50;

export class Events {
  private readonly clients = new Set<Client>();
  private cancelRound: (() => void) | null = null;

  constructor(private readonly options: EventsOptions) {}

  get bufferedBytes(): number {
    let bytes = 0;
    for (const { response } of this.clients) bytes += response.writableLength;
    return bytes;
  }

  /** @returns false if the maximum number of clients is reached; the response is then unchanged. */
  add(response: ServerResponse, watched: readonly Watched[]): boolean {
    if (this.clients.size >= this.options.maxClients) return false;
    const now = this.options.clock.monotonic();
    const client: Client = {
      response,
      watched: watched.slice(0, MAX_WATCHED),
      cursors: new Map(),
      turn: 0,
      generation: this.options.board.generation,
      statusAtMs: Number.NEGATIVE_INFINITY,
      takenAtMs: now,
    };
    response.writeHead(200, {
      'Content-Type': 'text/event-stream; charset=utf-8',
      'Cache-Control': 'no-store',
    });
    response.write('retry: 2000\n\n');
    response.on('close', () => this.clients.delete(client));
    response.on('error', () => this.clients.delete(client));
    this.clients.add(client);
    this.send(client, now);
    if (this.cancelRound === null) this.schedule();
    return true;
  }

  stop(): void {
    this.cancelRound?.();
    this.cancelRound = null;
    for (const client of this.clients) client.response.destroy();
    this.clients.clear();
  }

  private schedule(): void {
    this.cancelRound = this.options.clock.after(this.options.roundMs, () => {
      this.cancelRound = null;
      const now = this.options.clock.monotonic();
      for (const client of this.clients) this.send(client, now);
      if (this.clients.size > 0) this.schedule();
    });
  }

  private send(client: Client, now: number): void {
    const { response } = client;
    if (response.writableLength > this.options.maxBufferBytes) {
      if (now - client.takenAtMs > this.options.stuckMs) response.destroy();
      return;
    }
    client.takenAtMs = now;
    let text = '';
    const event = (name: string, data: unknown): void => {
      text += `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
    };
    const { board } = this.options;
    if (client.generation !== board.generation) {
      client.generation = board.generation;
      event('streams', { count: board.size });
    }
    const { watched, turn } = client;
    for (let i = 0; i < watched.length; i++) {
      const at = (turn + i) % watched.length;
      const one = watched[at] as Watched;
      const entry = one.as === 'row' ? board.peek(one.name) : board.get(one.name);
      if (!entry) continue;
      const cursor = client.cursors.get(keyOf(one));
      if (cursor?.revision === entry.revision) continue;
      const lastMs = entry.history.lastMs ?? Number.NEGATIVE_INFINITY;
      // After the clock was set back, sends the whole history, so that the page drops later buckets.
      const afterMs = cursor !== undefined && lastMs > cursor.timeMs ? cursor.timeMs : undefined;
      event(one.as, one.as === 'row' ? streamRow(entry) : detail(entry, afterMs));
      // minus 1: the newest bucket is sent again in the next round, because it may change
      client.cursors.set(keyOf(one), { revision: entry.revision, timeMs: lastMs - 1 });
      // Stops at the limits (`board.get` may have read from the store); the remaining streams come first in the next round.
      client.turn = at + 1;
      const busyMs = this.options.clock.monotonic() - now;
      if (text.length > this.options.maxBufferBytes || busyMs > MOST_BUSY_MS) break;
    }
    if (now - client.statusAtMs >= this.options.statusMs) {
      client.statusAtMs = now;
      event('status', this.options.status());
    }
    if (text !== '') response.write(text);
  }
}
