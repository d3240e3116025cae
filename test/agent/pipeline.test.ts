import { setImmediate } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { Checkpoints } from '../../src/agent/checkpoints.ts';
import { Pipeline, type PipelineParts } from '../../src/agent/pipeline.ts';
import { Engine } from '../../src/forecast/engine.ts';
import type { TickPace } from '../../src/forecast/engine-contract.ts';
import type { Forecast } from '../../src/forecast/forecast.ts';
import type { Routed } from '../../src/ingest/router.ts';
import { LATE, OUT_OF_RANGE, TOO_FAST } from '../../src/series/quality.ts';
import type { Reading, Sample } from '../../src/series/sample.ts';
import type { MarkSpan } from '../../src/store/marks.ts';
import { testHold } from '../support/clock-hold.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { testSpec } from '../support/specs.ts';

const START = Date.UTC(2025, 0, 1);

/** `value` or `value@seconds` on any topic is a reading of the stream `s`; anything else is no reading. */
const router = {
  message(_topic: string, payload: Uint8Array, arrivalMs: number): Routed {
    const found = /^(-?\d+)(?:@([\d.]+))?$/.exec(Buffer.from(payload).toString());
    const reading = { stream: 's', value: Number(found?.[1]), arrivalMs };
    const sent: Reading = found?.[2]
      ? { ...reading, timeMs: START + Number(found[2]) * 1000 }
      : { ...reading, timeMs: null };
    return { samples: found ? [sent] : [], rejects: [], discovered: [], requests: [] };
  },
};

function setUp(change: Partial<PipelineParts> = {}, wallMs = START) {
  const clock = new FakeClock(wallMs);
  const engine = new Engine(null);
  engine.add(testSpec('s'));
  const stored: (Sample & { mark?: number })[] = [];
  const marked: (MarkSpan & { stream: string })[] = [];
  const rejected: string[] = [];
  const disk = { failing: false, flushes: 0 };
  const forecasts: Forecast[] = [];
  const errors: unknown[] = [];
  const hold = testHold({ clock, probe: (answered) => answered(false) });
  const store = {
    append: (sample: Sample, mark = 0) => void stored.push(mark === 0 ? sample : { ...sample, mark }),
    mark: (stream: string, span: MarkSpan) => void marked.push({ stream, ...span }),
    reject: (stream: string, reason: string) => void rejected.push(`${stream} ${reason}`),
    flush: (done?: (safe: boolean) => void) => {
      disk.flushes++;
      done?.(!disk.failing);
      return !disk.failing;
    },
  };
  const pipeline = new Pipeline({
    clock,
    router,
    engine,
    store,
    checkpoints: new Checkpoints(engine, { saveSnapshots: () => true }),
    hold,
    batchMs: 20,
    flushMs: 5000,
    discovered: async () => undefined,
    request: () => undefined,
    forecasts: (list) => void forecasts.push(...list),
    failed: (error) => void errors.push(error),
    ...change,
  });
  const send = (text: string, acknowledge: (() => void) | null = null, retained = false) =>
    pipeline.receive({ topic: 't', payload: Buffer.from(text), retained, acknowledge });
  /** Moves the clock in small steps and lets promises run in between. */
  const pass = async (ms: number) => {
    for (let t = 0; t < ms; t += 5) {
      clock.advance(5);
      for (let i = 0; i < 20; i++) await Promise.resolve();
    }
  };
  return { clock, engine, pipeline, send, pass, stored, marked, rejected, disk, forecasts, errors, hold };
}

describe('Pipeline', () => {
  test('readings of one batch window are stepped in one round, and forecast within it', async () => {
    const { pipeline, send, pass, forecasts, stored } = setUp();
    pipeline.start();
    await pass(30);
    send('1@0');
    send('2@1');
    send('3@2');
    await pass(10);
    expect(forecasts).toEqual([]);
    await pass(15);
    // The newest forecast alone: its origin is the bucket before the newest reading.
    expect(forecasts.map((f) => f.originMs)).toEqual([START + 1000]);
    expect(stored).toHaveLength(3);
  });

  test('refused readings are counted by reason for their stream; readings out of range are stored with their mark', async () => {
    const { engine, pipeline, send, pass, stored, rejected, forecasts } = setUp();
    engine.add(testSpec('s', { max: 50 }));
    pipeline.start();
    for (const text of ['1@0', '99@0.5', '1@0', '2@1', '3@2']) send(text);
    await pass(60);
    expect(pipeline.dropped()).toEqual({ 'out-of-range': 1, duplicate: 1 });
    expect(rejected.sort()).toEqual(['s duplicate', 's out-of-range']);
    expect(stored.map(({ value, mark }) => [value, mark])).toEqual([
      [1, undefined],
      [99, OUT_OF_RANGE],
      [2, undefined],
      [3, undefined],
    ]);
    expect(forecasts[0]?.input).toMatchObject({ quality: 'good' });
  });

  test('a reading that was too fast is counted, and marked in the store, when its bucket closes', async () => {
    const { engine, pipeline, send, pass, marked, rejected } = setUp();
    engine.add(testSpec('s', { maxRatePerMs: 1 / 1000 }));
    pipeline.start();
    for (const text of ['1@0', '90@0.5', '2@1', '3@2']) send(text);
    await pass(60);
    expect(pipeline.dropped()).toEqual({ 'too-fast': 1 });
    expect(rejected).toEqual(['s too-fast']);
    expect(marked).toEqual([
      { stream: 's', fromMs: START + 500, toMs: START + 501, marks: TOO_FAST, timesMs: [START + 500] },
    ]);
  });

  test('an acknowledgement waits until the sample is on disk; forecasting does not', async () => {
    const { pipeline, send, pass, forecasts, disk } = setUp();
    pipeline.start();
    disk.failing = true;
    const acknowledged: number[] = [];
    send('1@0', () => acknowledged.push(1));
    send('2@1', () => acknowledged.push(2));
    await pass(60);
    expect(forecasts).toHaveLength(1);
    expect(acknowledged).toEqual([]);
    disk.failing = false;
    await pass(1100);
    expect(acknowledged).toEqual([1, 2]);
  });

  test('a failing store is reported once, retried once a second, and reported again when it works', async () => {
    const said: boolean[] = [];
    const { pipeline, send, pass, disk, forecasts } = setUp({ storeFails: (failing) => said.push(failing) });
    pipeline.start();
    disk.failing = true;
    const acknowledged: number[] = [];
    for (let n = 0; n < 30; n++) {
      send(`${n}@${n}`, () => acknowledged.push(n));
      await pass(100);
    }
    expect(said).toEqual([true]);
    expect(acknowledged).toEqual([]);
    expect(forecasts.length).toBeGreaterThan(20);
    expect(disk.flushes).toBeLessThanOrEqual(4);
    disk.failing = false;
    await pass(2100);
    expect(said).toEqual([true, false]);
    expect(acknowledged).toHaveLength(30);
    await pipeline.stop();
  });

  test('acknowledgements of a lost connection are not kept', async () => {
    const { pipeline, send, pass, disk } = setUp();
    pipeline.start();
    disk.failing = true;
    let acknowledged = 0;
    send('1@1', () => acknowledged++);
    await pass(100);
    pipeline.disconnected();
    disk.failing = false;
    await pass(2100);
    expect(acknowledged).toBe(0);
    await pipeline.stop();
  });

  test('without acknowledgements the disk is left alone until the flush is due', async () => {
    const { pipeline, send, pass, disk } = setUp();
    pipeline.start();
    for (let second = 0; second < 4; second++) {
      send(`1@${second}`);
      await pass(1000);
    }
    expect(disk.flushes).toBe(0);
    await pass(2000);
    expect(disk.flushes).toBe(1);
  });

  test('a silent stream is forecast by the clock once the backlog is over', async () => {
    const { pipeline, send, pass, forecasts, hold, clock } = setUp();
    hold.connected({ resumed: true });
    pipeline.start();
    for (let second = 0; second < 3; second++) {
      send('5');
      await pass(1000);
    }
    const before = forecasts.length;
    await pass(5000);
    const silent = forecasts.slice(before);
    expect(silent.length).toBeGreaterThanOrEqual(5);
    expect(silent.at(-1)!.observed).toBeNull();
    expect(clock.now() - silent.at(-1)!.originMs).toBeLessThan(2100);
  });

  test('the clock closes no bucket while the broker delivers its backlog', async () => {
    const { pipeline, send, pass, forecasts, hold } = setUp({}, START + 100_000);
    hold.connected({ resumed: true });
    pipeline.start();
    for (let second = 0; second < 60; second++) {
      send(`${second}@${second}`);
      await pass(30);
    }
    expect(pipeline.dropped()).toEqual({});
    expect(forecasts.at(-1)!.originMs).toBe(START + 58_000);
    expect(forecasts.every((f) => f.observed !== null)).toBe(true);
  });

  test('a clock that was never set does not make stamps of an overflowed clock true', async () => {
    const { pipeline, send, pass, stored } = setUp({}, 60_000);
    pipeline.start();
    send(`1@${(Date.UTC(2038, 3, 1) - START) / 1000}`);
    await pass(2000);
    expect(stored).toHaveLength(0);
    expect(pipeline.dropped()).toEqual({ 'absurd-time': 1 });
  });

  test('a clock that was never set delays the forecasts, not the samples', async () => {
    const { pipeline, send, pass, forecasts, stored, clock } = setUp({}, 60_000);
    pipeline.start();
    for (let second = 0; second < 5; second++) send(`1@${second}`);
    send('1');
    await pass(2000);
    expect(forecasts).toEqual([]);
    expect(stored).toHaveLength(5);
    expect(pipeline.dropped()).toEqual({ 'absurd-time': 1 });
    clock.jump(START + 6000 - clock.now());
    send('1@6');
    await pass(100);
    expect(forecasts).not.toEqual([]);
  });

  test('a clock before the sane years leaves a due bucket open without polling', async () => {
    const { pipeline, send, pass } = setUp({}, Date.UTC(2023, 0, 1));
    pipeline.start();
    await pass(6000);
    send('1');
    // its bucket is over, and nothing newer comes
    await pass(2000);
    const before = pipeline.progress;
    await pass(10_000);
    expect(pipeline.progress - before).toBeLessThan(20);
    send('2');
    await pass(100);
    expect(pipeline.samples).toBe(2);
  });

  test('drops are counted: late, retained without a time of its own, overload', async () => {
    const { pipeline, send, pass, stored } = setUp({ maxQueued: 2 });
    pipeline.start();
    await pass(30);
    send('1@10');
    send('1@20');
    const acknowledged: string[] = [];
    send('1@21', () => acknowledged.push('overload'));
    await pass(50);
    send('1@3', () => acknowledged.push('late'));
    send('7', () => acknowledged.push('retained'), true);
    send('7@30', null, true);
    send('nonsense', () => acknowledged.push('nonsense'));
    await pass(50);
    expect(pipeline.dropped()).toEqual({ overload: 1, retained: 1, late: 1 });
    expect(acknowledged.sort()).toEqual(['late', 'nonsense', 'overload', 'retained']);
    expect(pipeline.samples).toBe(3);
    // A late reading is stored all the same, with its mark.
    expect(stored.map(({ timeMs, mark }) => [(timeMs - START) / 1000, mark])).toContainEqual([3, LATE]);
  });

  test('a round that fails is reported and does not stop the next', async () => {
    let failing = true;
    const real = new Engine(null);
    real.add(testSpec('s'));
    const engine = new Proxy(real, {
      get: (target, key) => {
        if (key === 'tick' && failing) return () => Promise.reject(new Error('broken step'));
        const value = Reflect.get(target, key) as unknown;
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    const { pipeline, send, pass, forecasts, errors } = setUp({ engine });
    pipeline.start();
    send('1@0');
    await pass(50);
    send('1@0.5');
    await pass(50);
    expect(errors).toEqual([new Error('broken step')]);
    expect(pipeline.fault).toBe('broken step');
    failing = false;
    send('2@1');
    await pass(50);
    expect(pipeline.fault).toBeNull();
    expect(forecasts).toHaveLength(1);
  });

  test('a state that cannot be saved is reported, and the next round runs as usual', async () => {
    const broken = new Error('a broken promise');
    const snapshot = () => {
      throw broken;
    };
    const checkpoints = new Checkpoints({ snapshot }, { saveSnapshots: () => true });
    checkpoints.add('s', 'rebuilt', 0);
    const { pipeline, send, pass, forecasts, errors } = setUp({ checkpoints });
    pipeline.start();
    send('1@0');
    await pass(50);
    send('2@1');
    await pass(50);
    expect(new Set(errors)).toEqual(new Set([broken]));
    expect(pipeline.fault).toBe('a broken promise');
    expect(forecasts).toHaveLength(1);
  });

  test('stop handles the queued messages, flushes, and accepts no more', async () => {
    const { pipeline, send, stored, disk, clock } = setUp();
    pipeline.start();
    let acknowledged = 0;
    send('1@0', () => acknowledged++);
    await pipeline.stop();
    send('1@1');
    clock.advance(10_000);
    expect(stored).toHaveLength(1);
    expect(acknowledged).toBe(1);
    expect(disk.flushes).toBeGreaterThan(0);
    expect(clock.nextDelayMs).toBeNull();
  });

  test('a stream that cannot be added loses no readings of other streams', async () => {
    const { pipeline, send, pass, stored, errors } = setUp({
      discovered: async () => {
        throw new Error('no room');
      },
      router: {
        message: (topic, payload, arrivalMs) => ({
          ...router.message(topic, payload, arrivalMs),
          discovered: [{ spec: testSpec('new'), source: { topic, field: 'v' }, rule: 0 }],
        }),
      },
    });
    pipeline.start();
    let acknowledged = 0;
    send('1', () => acknowledged++);
    await pass(50);
    expect(errors).toEqual([new Error('no room')]);
    expect([acknowledged, stored.length]).toEqual([1, 1]);
    await pipeline.stop();
  });

  test('messages queued before a change of streams go to the old streams, messages during it to the new ones', async () => {
    let name = 's';
    const { engine, pipeline, send, pass, stored } = setUp({
      router: {
        message: (topic, payload, arrivalMs) => {
          const routed = router.message(topic, payload, arrivalMs);
          return { ...routed, samples: routed.samples.map((sample) => ({ ...sample, stream: name })) };
        },
      },
    });
    engine.add(testSpec('kept'));
    pipeline.start();
    await pass(30);
    let go: () => void = () => undefined;
    send('1@0');
    const changed = pipeline.between(async () => {
      await new Promise<void>((resolve) => {
        go = resolve;
      });
      engine.remove('s');
      name = 'kept';
    });
    send('2@0.5');
    await pass(30);
    // In a buffer that is used again for what comes next, as the broker's client does.
    const buffer = Buffer.from('3@1');
    pipeline.receive({ topic: 't', payload: buffer, retained: false, acknowledge: null });
    buffer.fill(0);
    await pass(30);
    go();
    await changed;
    await pass(60);
    expect(pipeline.dropped()).toEqual({});
    expect(stored.map(({ stream, value }) => [stream, value])).toEqual([
      ['s', 1],
      ['s', 2],
      ['kept', 3],
    ]);
    await pipeline.stop();
  });

  test('messages that arrived before a change of streams are forecast before the change', async () => {
    const all: number[] = [];
    const { pipeline, send, pass } = setUp({
      forecasts: (list) => {
        all.push(...list.map(({ originMs }) => originMs));
        // The round is under way still.
        if (all.length === 1) send('3@2');
      },
    });
    pipeline.start();
    await pass(30);
    send('1@0');
    send('2@1');
    let before: number[] = [];
    await Promise.all([
      pipeline.between(() => {
        before = [...all];
      }),
      pass(60),
    ]);
    expect(before).toEqual([START, START + 1000]);
    await pipeline.stop();
  });

  test('no more messages than the limit are kept while streams change', async () => {
    const { pipeline, send, pass } = setUp({ maxQueued: 3 });
    pipeline.start();
    let go: () => void = () => undefined;
    const changed = pipeline.between(
      () =>
        new Promise<void>((resolve) => {
          go = resolve;
        }),
    );
    await pass(30);
    let acknowledged = 0;
    for (let i = 0; i < 5; i++) send(`1@${i}`, () => acknowledged++);
    expect([pipeline.dropped(), acknowledged]).toEqual([{ overload: 2 }, 2]);
    go();
    await changed;
    await pass(60);
    expect([pipeline.samples, acknowledged]).toEqual([3, 5]);
    await pipeline.stop();
  });

  test('a long round reports progress, a hanging one does not', async () => {
    let hangs = false;
    const real = new Engine(null);
    real.add(testSpec('s'));
    const tick = async (_now: number | null, _every: boolean, { breathe }: TickPace) => {
      while (!hangs) await (breathe?.() ?? setImmediate());
      return new Promise<Forecast[]>(() => undefined);
    };
    const engine = new Proxy(real, {
      get: (target, key) => {
        const value = key === 'tick' ? tick : (Reflect.get(target, key) as unknown);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    const { pipeline, clock, pass } = setUp({ engine });
    const progress = async (): Promise<number> => {
      const before = pipeline.progress;
      for (let i = 0; i < 10; i++) {
        clock.advance(100);
        await setImmediate();
      }
      return pipeline.progress - before;
    };
    pipeline.start();
    await pass(50);
    expect(await progress()).toBeGreaterThan(2);
    hangs = true;
    await progress();
    expect(await progress()).toBe(0);
  });

  test('changes of streams run between two rounds, never within one', async () => {
    const log: string[] = [];
    let release: () => void = () => undefined;
    const { pipeline, send, pass } = setUp({
      discovered: async () => {
        log.push('round begins');
        await new Promise<void>((resolve) => {
          release = resolve;
        });
        log.push('round goes on');
      },
      router: {
        message: (topic, payload, arrivalMs) => ({
          ...router.message(topic, payload, arrivalMs),
          discovered: [{ spec: testSpec('s'), source: { topic, field: 'v' }, rule: 0 }],
        }),
      },
    });
    pipeline.start();
    send('1');
    await pass(50);
    const done = pipeline.between(() => log.push('action'));
    const failed = pipeline.between(() => {
      throw new Error('no');
    });
    failed.catch(() => undefined);
    await pass(50);
    expect(log).toEqual(['round begins']);
    release();
    await pass(50);
    expect(await done).toBe(3);
    await expect(failed).rejects.toThrow('no');
    expect(log).toEqual(['round begins', 'round goes on', 'action']);
    await pipeline.stop();
    await expect(pipeline.between(() => 1)).rejects.toMatchObject({ code: 'BUSY' });
  });

  test('says what the clock of a sender looks like when every reading is refused for its time', async () => {
    const said: string[] = [];
    const { pipeline, send, pass } = setUp({
      wrongClock: (stream, advice) => void said.push(`${stream}: ${advice}`),
    });
    pipeline.start();
    for (const at of [7200, 7201, 7202, 7203]) {
      send(`1@${at}`);
      await pass(50);
    }
    expect(said).toEqual([expect.stringMatching(/^s: its time is 2 h ahead, .*time_zone: \+02:00/)]);
    expect(pipeline.clocks.wrong).toMatchObject({ stream: 's' });
    send('5');
    await pass(50);
    expect(pipeline.clocks.wrong).toBeNull();
  });
});
