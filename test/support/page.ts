/** A page server on a free port with a board full of made-up streams: waves with noise, one of them with holes. */
import { systemClock } from '../../src/system/clock.ts';
import { Board } from '../../src/web/board.ts';
import { type PageOptions, PageServer } from '../../src/web/server.ts';
import type { PageStatus } from '../../src/web/wire.ts';
import { fakeForecast } from './forecasts.ts';

export const fakeStatus = (change: Partial<PageStatus> = {}): PageStatus => ({
  node: 'cellar',
  version: '0.1.0',
  sinceMs: Date.now() - 3_600_000,
  nowMs: Date.now(),
  broker: { url: 'mqtt://127.0.0.1:1883', connected: true, protocol: 'MQTT 5' },
  model: { id: 'base', version: '1', loaded: true },
  finetune: { status: 'promoted', reason: 'better by 5.0 %' },
  health: {
    state: 'ok',
    degraded: [],
    rssMb: 92,
    cpuPct: 1.4,
    dbBytes: 1_250_000,
    streams: 3,
    dropped: { late: 2 },
  },
  rates: { samples: 12, forecasts: 12 },
  ...change,
});

/** A small seeded generator, so that pictures and numbers repeat. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 4294967296;
  };
}

export interface FakeStream {
  readonly name: string;
  readonly unit: string | null;
  readonly level: number;
  readonly swing: number;
  readonly periodS: number;
  readonly holes?: boolean;
}

export function fillBoard(
  board: Board,
  streams: readonly FakeStream[],
  buckets = 150,
  endMs = Date.now(),
): void {
  const stepMs = 1000;
  const lastMs = Math.floor(endMs / stepMs) * stepMs;
  for (const { name, unit, level, swing, periodS, holes } of streams) {
    const random = seeded(name.length * 7919);
    const wave = (ms: number): number => level + swing * Math.sin((2 * Math.PI * ms) / 1000 / periodS);
    for (let i = buckets - 1; i >= 0; i--) {
      const originMs = lastMs - i * stepMs;
      const missing = holes === true && i % 40 > 3 && i % 40 < 11;
      board.record(
        fakeForecast({
          stream: name,
          unit,
          originMs,
          stepMs,
          leads: 60,
          seq: buckets - i,
          observed: missing ? null : wave(originMs) + (random() - 0.5) * swing * 0.4,
          expected: {
            low: wave(originMs) - swing * 0.3,
            p50: wave(originMs),
            high: wave(originMs) + swing * 0.3,
          },
          median: (k) => wave(originMs + k * stepMs),
          spread: (k) => swing * (0.25 + 0.5 * Math.sqrt(k / 60)),
        }),
        originMs + stepMs,
      );
    }
  }
}

export async function startPage(
  options: Partial<PageOptions> = {},
): Promise<{ board: Board; page: PageServer; url: string }> {
  const board = options.board ?? new Board();
  const page = new PageServer({
    host: '127.0.0.1',
    port: 0,
    status: () => fakeStatus(),
    metrics: () => [],
    clock: systemClock,
    roundMs: 40,
    ...options,
    board,
  });
  return { board, page, url: await page.start() };
}
