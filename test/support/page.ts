/** A page server on a free port with a board full of made-up streams: waves with noise, one of them with holes. */
import { systemClock } from '../../src/system/clock.ts';
import { Access, type AccessOptions } from '../../src/web/access.ts';
import { Board } from '../../src/web/board.ts';
import { type PageOptions, PageServer } from '../../src/web/server.ts';
import type { PageViews } from '../../src/web/views.ts';
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
  waiting: null,
  alerts: 0,
  site: null,
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

/** What a small agent would show. */
export const fakeViews = (change: Partial<PageViews> = {}): PageViews => ({
  history: async () => null,
  replay: async () => ({ points: [], complete: true, trainedToMs: null }),
  scores: () => ({ by_lead: [], window: 1000 }),
  alerts: () => [],
  model: () => ({
    champion: 'base',
    version: '1',
    trainedAt: null,
    previous: null,
    probation: null,
    training: null,
    waitsFor: '',
    schedule: '17 3 * * *',
    runs: [],
    models: [],
  }),
  config: () => ({ hash: 'abc', version: null, keys: [], notice: null, push: null }),
  site: async () => null,
  ...change,
});

const DAY_MS = 86_400_000;

/** What an agent would show that has run for ten days: waves with a gap, scores, alerts, runs and a pushed config. */
export const richViews = (nowMs = Date.now()): PageViews => ({
  site: async () => ({
    site: 'plant',
    member: 'plant-1',
    members: [
      {
        member: 'plant-1',
        role: 'worker',
        version: '0.1.0',
        partitions: 1,
        streams: 1200,
        lag: 3,
        draining: false,
        model: 'base',
      },
    ],
    partitions: [
      {
        partition: 0,
        owner: 'plant-1',
        epoch: 2,
        messages: 40,
        bytes: 4096,
        lastSeq: 90,
        streams: 1200,
        lag: 3,
        model: 1,
        checkpoint: new Date(nowMs).toISOString(),
        sinceCheckpoint: 40,
        fault: null,
      },
      {
        partition: 1,
        owner: null,
        epoch: 4,
        messages: 40,
        bytes: 4096,
        lastSeq: 90,
        streams: null,
        lag: null,
        model: null,
        checkpoint: null,
        sinceCheckpoint: 7,
        fault: 'stream not found',
      },
    ],
  }),
  history: async (_stream, { fromMs, toMs, points }) => {
    const firstMs = nowMs - 10 * DAY_MS;
    const binMs = Math.max(1, Math.ceil((toMs - Math.max(fromMs, firstMs)) / points / 1000)) * 1000;
    const bins = [];
    for (let timeMs = Math.ceil(Math.max(fromMs, firstMs) / binMs) * binMs; timeMs < toMs; timeMs += binMs) {
      const mean = 40 + 20 * Math.sin((2 * Math.PI * timeMs) / DAY_MS);
      const isGap = timeMs > nowMs - 3 * DAY_MS && timeMs < nowMs - 2.7 * DAY_MS;
      bins.push(
        isGap
          ? { timeMs, mean: null, low: null, high: null }
          : { timeMs, mean, low: mean - 3, high: mean + 3 },
      );
    }
    const anomalies = [{ timeMs: nowMs - 5 * DAY_MS, observed: 75, score: 6 }];
    return { firstMs, binMs, bins, anomalies };
  },
  replay: async (_stream, { fromMs, toMs }) => {
    const endMs = Math.floor(Math.min(toMs, nowMs) / 1000) * 1000;
    const count = Math.min(400, Math.floor((endMs - fromMs) / 1000));
    const points = Array.from({ length: count }, (_, i) => ({
      timeMs: endMs - (count - 1 - i) * 1000,
      p10: 35,
      p50: 40,
      p90: 45,
    }));
    return { points, complete: true, trainedToMs: nowMs - DAY_MS };
  },
  scores: () => ({
    by_lead: [1, 15, 30, 60].map((h) => ({
      h,
      n: h === 60 ? 12 : 900,
      mae: 0.4 * Math.sqrt(h),
      bias: 0.01 * h,
      coverage: 0.8 - h / 1000,
      skill_vs_naive: 0.1 + h / 200,
      skill_vs_seasonal: 0.2 - h / 100,
    })),
    window: 1000,
  }),
  alerts: () => [
    {
      id: 'stale',
      severity: 'warning',
      text: '1 of 7 streams are silent: memory',
      sinceMs: nowMs - 3_600_000,
      untilMs: null,
      meaning: 'Streams have had no reading for longer than `gaps.max`.',
    },
    {
      id: 'store',
      severity: 'error',
      text: 'the database cannot be written: disk I/O error',
      sinceMs: nowMs - 2 * DAY_MS,
      untilMs: nowMs - 2 * DAY_MS + 600_000,
      meaning: 'The database cannot be written: samples are in memory only.',
    },
  ],
  model: () => ({
    champion: 'tuned-7',
    version: '7',
    trainedAt: new Date(nowMs - DAY_MS).toISOString(),
    previous: 'base',
    probation: {
      sinceMs: nowMs - DAY_MS / 2,
      untilMs: nowMs + DAY_MS / 2,
      found: "live loss is 0.94 times the better naive's on 6 streams so far",
    },
    training: {
      trigger: 'request',
      startedMs: nowMs - 60_000,
      paused: null,
      phase: 'training',
      done: 0.25,
      step: 375,
      maxSteps: 1500,
      loss: 0.7321,
      validation: 0.71,
      best: 0.7012,
      leftMs: 150_000,
    },
    waitsFor: '',
    schedule: '17 3 * * *',
    runs: [
      {
        status: 'promoted',
        reason: 'better by 5.0 % on the holdout',
        trigger: 'schedule',
        startedMs: nowMs - DAY_MS,
        endedMs: nowMs - DAY_MS + 240_000,
        seconds: 210,
        streams: 6,
        leftOut: [{ stream: 'memory', problem: 'too few buckets' }],
        losses: { candidate: 0.61, champion: 0.642, naive: 1, seasonal: 0.8 },
        gate: {
          gain: 0.05,
          pValue: 0.012,
          origins: 96,
          harmed: 0,
          steps: 900,
          baseLoss: 0.8,
          bestLoss: 0.7,
        },
      },
      {
        status: 'refused',
        reason: 'not better: 0.3 % worse on the holdout',
        trigger: 'drift',
        startedMs: nowMs - 2 * DAY_MS,
        endedMs: nowMs - 2 * DAY_MS + 200_000,
        seconds: 190,
        streams: 6,
        leftOut: [],
        losses: { candidate: 0.644, champion: 0.642, naive: 1, seasonal: 0.8 },
        gate: {
          gain: -0.003,
          pValue: 0.61,
          origins: 96,
          harmed: 2,
          steps: 1500,
          baseLoss: 0.8,
          bestLoss: 0.75,
        },
      },
    ],
    models: [
      { name: 'base', version: '1', cell: 'gru', hidden: 64, source: 'shipped', problem: null },
      {
        name: 'broken',
        version: null,
        cell: null,
        hidden: null,
        source: 'data',
        problem: 'weights.safetensors is damaged',
      },
      { name: 'tuned-7', version: '7', cell: 'gru', hidden: 64, source: 'data', problem: null },
    ],
  }),
  config: () => ({
    hash: '5f2c9d',
    version: 3,
    keys: [
      { path: 'node', value: 'cellar', origin: 'file' },
      { path: 'mqtt.url', value: 'mqtts://broker.lan:8883', origin: 'file' },
      { path: 'lateness', value: '2s', origin: 'default' },
      { path: 'streams.pumps.horizon', value: '48h', origin: 'node' },
      { path: 'streams.pumps.thresholds', value: [{ name: 'empty', below: 5 }], origin: 'fleet:north' },
    ],
    notice: null,
    push: {
      version: 4,
      layer: 'node',
      status: 'rejected',
      atMs: nowMs - 600_000,
      problems: ['streams.pumps.horizon: must be at least one interval (5m)'],
    },
  }),
});

/** Nobody can log in. */
export const openAccess = (change: Partial<AccessOptions> = {}): Access =>
  new Access({ token: null, userHeader: null, trustedProxies: [], clock: systemClock, ...change });

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
    views: fakeViews(),
    access: openAccess(),
    actions: [],
    act: async () => ({}),
    roundMs: 40,
    ...options,
    board,
  });
  return { board, page, url: await page.start() };
}
