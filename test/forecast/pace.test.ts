/** A tick that shares the time: bounded buckets, forecasts handed out group by group, and the same numbers in the end. */
import { describe, expect, it } from 'vitest';
import { Engine } from '../../src/forecast/engine.ts';
import type { Forecast } from '../../src/forecast/forecast.ts';
import { essence } from '../support/drive.ts';
import { fakeModel } from '../support/fake-model.ts';
import { ordinary } from '../support/series.ts';
import { testSpec } from '../support/specs.ts';

const START = Date.UTC(2025, 0, 1);
const STREAMS = 150;
const BUCKETS = 45;

/** With readings of 45 s of every stream waiting; the first stream's end a little earlier. */
function waiting(): Engine {
  const engine = new Engine(fakeModel());
  const values = ordinary(4, 20)(BUCKETS);
  for (let s = 0; s < STREAMS; s++) {
    engine.add(testSpec(`${s}`, { horizonMs: s % 2 === 0 ? 10_000 : 20_000 }));
    for (let i = 0; i < (s === 0 ? 10 : BUCKETS); i++) {
      const timeMs = START + i * 1000;
      engine.push({ stream: `${s}`, timeMs, value: values[i]! + s, arrivalMs: Number.NaN });
    }
  }
  return engine;
}

describe('a tick with a pace', () => {
  it('closes no more buckets of a stream than it may, is due again at once, and ends with the same forecasts', async () => {
    const expected = new Map((await waiting().tick(null)).map((f) => [f.stream, essence(f)]));
    const engine = waiting();
    const got = new Map<string, ReturnType<typeof essence>>();
    let told = 0;
    for (let ticks = 1; ; ticks++) {
      for (const forecast of await engine.tick(null, false, { most: 16 })) {
        told++;
        got.set(forecast.stream, essence(forecast));
      }
      const seen = Math.max(...engine.streams().map((stream) => stream.bucketsSeen));
      expect(seen).toBeLessThanOrEqual(16 * ticks);
      if (engine.nextDueMs(START) !== START) break;
      expect(got.size).toBe(1);
    }
    // A stream that is behind has nothing to say until it has caught up.
    expect(told).toBe(STREAMS);
    expect(got).toEqual(expected);
  });

  it('holds for a stream with a table of what is known ahead too: only streams that see each other go on together', async () => {
    for (const kind of ['table', 'stream'] as const) {
      const engine = new Engine(fakeModel());
      engine.add(testSpec('s', { covariates: [{ kind, name: 'other' }] }));
      for (let i = 0; i < BUCKETS; i++)
        engine.push({ stream: 's', timeMs: START + i * 1000, value: i % 7, arrivalMs: Number.NaN });
      await engine.tick(null, false, { most: 16 });
      expect(engine.streams()[0]?.bucketsSeen, kind).toBe(kind === 'table' ? 16 : BUCKETS - 1);
    }
  });

  it('hands forecasts out before all streams are done, and yields between groups', async () => {
    const engine = waiting();
    const groups: Forecast[][] = [];
    let breaths = 0;
    let breathsAtFirst = 0;
    const rest = await engine.tick(null, false, {
      handOut: (forecasts) => {
        if (groups.length === 0) breathsAtFirst = breaths;
        groups.push(forecasts);
      },
      breathe: async () => {
        breaths++;
      },
    });
    expect(rest).toEqual([]);
    expect(groups.length).toBeGreaterThan(2);
    expect(breathsAtFirst).toBeLessThan(breaths / 2);
    expect(breaths).toBeGreaterThanOrEqual(BUCKETS - 1);
    const names = groups.flat().map(({ stream }) => stream);
    expect(new Set(names).size).toBe(STREAMS);
    expect(names.length).toBe(STREAMS);
  });
});
