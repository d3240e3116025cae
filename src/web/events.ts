/**
 * Server-sent events for the page. Nothing is queued for a client: it has a cursor into the board, and each round
 * sends what lies beyond it. A slow client skips rounds and then gets the newest state; one that stays stuck is closed.
 */
import type { ServerResponse } from 'node:http';
import type { Clock } from '../system/clock.ts';
import type { Board } from './board.ts';
import { detail, type PageStatus } from './wire.ts';

export interface EventsOptions {
  readonly board: Board;
  readonly status: () => PageStatus;
  readonly clock: Clock;
  readonly maxClients: number;
  /** Bytes that may wait in one client's socket before its rounds are skipped. */
  readonly maxBufferBytes: number;
  readonly roundMs: number;
  readonly statusMs: number;
  /** A client that takes nothing for this long is closed. */
  readonly stuckMs: number;
}

interface Client {
  readonly response: ServerResponse;
  readonly names: readonly string[];
  /** Newest revision and bucket sent, by stream. */
  readonly cursors: Map<string, { revision: number; timeMs: number }>;
  /** Number of the name whose turn it is. */
  turn: number;
  generation: number;
  statusAtMs: number;
  takenAtMs: number;
}

export const MAX_WATCHED = 64;
/** Longest that a round keeps the thread from forecasting, bar the stream at hand, ms. */
const MOST_BUSY_MS = 50;

export class Events {
  private readonly clients = new Set<Client>();
  private cancelRound: (() => void) | null = null;

  constructor(private readonly options: EventsOptions) {}

  get size(): number {
    return this.clients.size;
  }

  get bufferedBytes(): number {
    let bytes = 0;
    for (const { response } of this.clients) bytes += response.writableLength;
    return bytes;
  }

  /** @returns false when there is no room for another client; the response is then untouched. */
  add(response: ServerResponse, names: readonly string[]): boolean {
    if (this.clients.size >= this.options.maxClients) return false;
    const now = this.options.clock.monotonic();
    const client: Client = {
      response,
      names: names.slice(0, MAX_WATCHED),
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
    const { names, turn } = client;
    for (let i = 0; i < names.length; i++) {
      const at = (turn + i) % names.length;
      const name = names[at] as string;
      const entry = board.get(name);
      if (!entry) continue;
      const cursor = client.cursors.get(name);
      if (cursor?.revision === entry.revision) continue;
      const lastMs = entry.history.lastMs ?? Number.NEGATIVE_INFINITY;
      // All of it where the buckets have gone back in time, so that the page drops what it had after them.
      event(
        'stream',
        detail(entry, cursor !== undefined && lastMs > cursor.timeMs ? cursor.timeMs : undefined),
      );
      // The newest bucket is sent again with the next round: it may have been replaced.
      client.cursors.set(name, { revision: entry.revision, timeMs: lastMs - 1 });
      // The rest has its turn in the next rounds, before those that change again. The past of a stream is read when it is
      // first looked at.
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
