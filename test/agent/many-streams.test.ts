/**
 * More streams are due at once than a stop may wait for: the round ends early, and nothing is lost by it. The network is a fake
 * that takes half a second of the fake clock for a run of 64 streams.
 */
import { describe, expect, test } from 'vitest';
import { Checkpoints } from '../../src/agent/checkpoints.ts';
import { Pipeline } from '../../src/agent/pipeline.ts';
import { restoreStreams } from '../../src/agent/restore.ts';
import { Engine } from '../../src/forecast/engine.ts';
import type { Forecast } from '../../src/forecast/forecast.ts';
import type { StreamSpec } from '../../src/series/spec.ts';
import type { SqliteStore } from '../../src/store/sqlite-store.ts';
import { testHold } from '../support/clock-hold.ts';
import { essence } from '../support/drive.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { fakeModel } from '../support/fake-model.ts';
import { testSpec } from '../support/specs.ts';
import { openStore, tempFolder } from '../support/stores.ts';

const START = Date.UTC(2025, 0, 1);
const RUN_MS = 500;
/** What `Stops` gives a part. */
const PATIENCE_MS = 2000;
const WARM_UP_S = 6;

type Specs = readonly StreamSpec[];

/** 320 streams: 2.5 s of the network for one bucket of each. */
const MANY: Specs = Array.from({ length: 320 }, (_, s) => testSpec(`${s}`, { horizonMs: 3000 }));
/** The same, and each sees the first one. */
const LINKED: Specs = MANY.map((spec, s) =>
  s === 0 ? spec : { ...spec, covariates: [{ kind: 'stream', name: '0' }] },
);

class Run {
  readonly forecasts: Forecast[] = [];
  readonly clock: FakeClock;
  readonly engine: Engine;
  readonly checkpoints: Checkpoints;
  readonly pipeline: Pipeline;
  /** The network takes no time before this is set. */
  slow = false;
  rounds = 0;

  constructor(
    readonly store: SqliteStore,
    wallMs: number,
  ) {
    const clock = new FakeClock(wallMs);
    this.clock = clock;
    this.engine = new Engine(
      fakeModel({
        ran: () => {
          if (this.slow) clock.advance(RUN_MS);
        },
      }),
    );
    const { engine } = this;
    this.checkpoints = new Checkpoints(engine, store, { replay: 1e9, first: 1e9, walk: 1e9 }, engine);
    const hold = testHold({ clock, probe: (answered) => answered(false) });
    this.pipeline = new Pipeline({
      clock,
      router: {
        message: (topic, payload, arrivalMs) => ({
          samples: [{ stream: topic, timeMs: null, value: Number(payload), arrivalMs }],
          rejects: [],
          discovered: [],
          requests: [],
        }),
      },
      engine,
      store,
      checkpoints: this.checkpoints,
      hold,
      batchMs: 20,
      flushMs: 5000,
      discovered: async () => undefined,
      request: () => undefined,
      forecasts: (list) => void this.forecasts.push(...list),
      failed: (error) => {
        throw error;
      },
    });
    hold.connected({ resumed: false });
    hold.subscribed();
  }

  async start(specs: Specs): Promise<void> {
    const known = specs.map((spec) => ({ spec, firstMs: START }));
    for (const { name, state, replayed } of await restoreStreams(
      this.engine,
      this.store,
      known,
      this.clock.now(),
    ))
      this.checkpoints.add(name, state, replayed);
    this.pipeline.start();
    // The backlog is over, and the clock closes buckets.
    await this.pass(1000);
  }

  async settle(): Promise<void> {
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
  }

  /** The clock goes on in steps, and promises run in between. */
  async pass(ms: number): Promise<void> {
    for (let t = 0; t < ms; t += 100) {
      this.clock.advance(100);
      await this.settle();
    }
  }

  /** One reading of every stream. */
  hear(specs: Specs, value: (stream: number) => number): void {
    for (const [s, { name }] of specs.entries()) {
      const payload = Buffer.from(String(value(s)));
      this.pipeline.receive({ topic: name, payload, retained: false, acknowledge: null });
    }
  }

  /** As `AgentStreams.stop`. */
  save(): void {
    this.checkpoints.saveAll(() => this.clock.monotonic());
  }
}

const valueAt = (s: number, second: number): number => 20 + 5 * Math.sin(second / 3 + s);

/** A second with a reading of every stream at its begin. */
async function second(run: Run, specs: Specs, at: number): Promise<void> {
  run.hear(specs, (s) => valueAt(s, at));
  await run.pass(1000);
}

const newest = (forecasts: readonly Forecast[]) =>
  new Map(forecasts.map((forecast) => [`${forecast.stream} ${forecast.originMs}`, essence(forecast)]));

describe.each([
  ['streams alone', MANY],
  ['streams that see each other', LINKED],
] as const)('%s', (_, specs) => {
  test('a stop in the middle of a round is in time, and the next run forecasts as if there had been none', async () => {
    const store = openStore(tempFolder());
    const stopped = new Run(store, START);
    const undisturbed = new Run(openStore(tempFolder()), START);
    for (const run of [stopped, undisturbed]) {
      await run.start(specs);
      for (let at = 0; at < WARM_UP_S; at++) await second(run, specs, at);
      // A state of every stream, and then one more bucket.
      run.checkpoints.saveAll(() => run.clock.monotonic());
      run.hear(specs, (s) => valueAt(s, WARM_UP_S));
    }
    const before = stopped.forecasts.length;
    stopped.slow = true;
    const from = stopped.clock.monotonic();
    // The round begins, and while it runs the stop comes.
    stopped.clock.advance(1000);
    for (let i = 0; i < 5; i++) await Promise.resolve();
    const stopping = stopped.clock.monotonic();
    await stopped.pipeline.stop();
    expect(stopping - from).toBeLessThan(2000);
    expect(stopped.clock.monotonic() - stopping).toBeLessThan(PATIENCE_MS);
    const done = stopped.forecasts.length - before;
    expect(done).toBeLessThan(specs.length);
    stopped.save();

    const again = new Run(store, stopped.clock.now());
    await again.start(specs);
    await undisturbed.pass(again.clock.now() - undisturbed.clock.now());
    for (const run of [again, undisturbed])
      for (let at = WARM_UP_S + 1; at < WARM_UP_S + 4; at++) await second(run, specs, at);
    const expected = newest(undisturbed.forecasts);
    const got = newest(again.forecasts);
    expect(got.size).toBeGreaterThanOrEqual(3 * specs.length);
    for (const [key, forecast] of got) expect(forecast, key).toEqual(expected.get(key));
    await again.pipeline.stop();
    await undisturbed.pipeline.stop();
  });
});

test('streams that a round leaves come first in the next one, and readings are stored in between', async () => {
  const store = openStore(tempFolder());
  const run = new Run(store, START);
  await run.start(MANY);
  for (let at = 0; at < WARM_UP_S; at++) await second(run, MANY, at);
  run.forecasts.length = 0;
  run.slow = true;
  run.hear(MANY, () => 20);
  run.clock.advance(1000);
  // The first streams speak again and again while the last ones wait.
  for (let i = 0; i < 60 && new Set(run.forecasts.map(({ stream }) => stream)).size < MANY.length; i++) {
    run.hear(MANY.slice(0, 64), () => i);
    await run.pass(100);
  }
  expect(new Set(run.forecasts.map(({ stream }) => stream)).size).toBe(MANY.length);
  const firstOfLast = run.forecasts.findIndex(({ stream }) => stream === MANY.at(-1)?.name);
  // Nobody had three turns before the last one had the first.
  const turns = run.forecasts.slice(0, firstOfLast).filter(({ stream }) => stream === '0').length;
  expect(turns).toBeLessThanOrEqual(2);
  await run.pipeline.stop();
});
