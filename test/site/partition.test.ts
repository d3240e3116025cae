// A partition depends on its log alone: read at once, in parts, or from a checkpoint on, it makes the same forecasts.
import { describe, expect, it } from 'vitest';
import type { Forecast } from '../../src/forecast/forecast.ts';
import type { Model } from '../../src/forecast/model.ts';
import type { Sample } from '../../src/series/sample.ts';
import { type Batch, decodeBatch, encodeBatch, encodeModel } from '../../src/site/batch.ts';
import { mustPack, Partition, PartitionShares } from '../../src/site/partition.ts';
import { essence } from '../support/drive.ts';
import { fakeModel } from '../support/fake-model.ts';
import { uniform } from '../support/random.ts';
import { testSpec } from '../support/specs.ts';

const START = Date.UTC(2026, 0, 5);
const NAMES = ['a', 'b/c', 'silent', 'learns'];
const breathe = (): Promise<void> => Promise.resolve();

interface Entry {
  readonly seq: number;
  readonly loggedMs: number;
  readonly batch: Batch;
}

/** A log of some minutes: readings that come late, out of order, twice, out of range or not at all. */
function logOf(seed: number, seconds = 240): Entry[] {
  const next = uniform(seed);
  const specs = [
    testSpec('a', { intervalMs: 5000, latenessMs: 2000, horizonMs: 50_000 }),
    testSpec('b/c', { intervalMs: 10_000, latenessMs: 1000, horizonMs: 100_000, max: 30 }),
    testSpec('silent', { intervalMs: 5000, latenessMs: 0, horizonMs: 50_000 }),
    testSpec('learns', { intervalMs: null, latenessMs: 1000, horizonMs: 50_000 }),
  ];
  const entries: Entry[] = [];
  let seq = 0;
  for (let second = 0; second < seconds; second++) {
    const nowMs = START + second * 1000;
    for (const bridge of ['one', 'two']) {
      const samples: Sample[] = [];
      for (const [at, stream] of NAMES.entries()) {
        if (next() < 0.4 || (stream === 'silent' && second > 60 && second < 200)) continue;
        if (stream === 'learns' && second % 3 > 0) continue;
        const timeMs = nowMs - Math.floor(next() * 3000);
        const value = next() < 0.02 ? 99 : 20 + 5 * Math.sin(second / 20 + at) + next();
        samples.push({ stream, timeMs, value, arrivalMs: nowMs });
        if (next() < 0.05) samples.push({ stream, timeMs, value, arrivalMs: nowMs });
      }
      const holds = bridge === 'two' && second > 100 && second < 120;
      entries.push({
        seq: ++seq,
        loggedMs: nowMs + Math.floor(next() * 900),
        batch: {
          bridge,
          untilMs: holds ? null : nowMs - 50,
          specs: second === 0 && bridge === 'one' ? specs : [],
          samples,
        },
      });
    }
  }
  return entries;
}

/** As the operator's command writes it. */
const SWITCH: Batch = decodeBatch(Buffer.from(encodeModel({ number: 1, id: 'other' })));

type Made = ReturnType<typeof essence>[];

async function play(partition: Partition, entries: readonly Entry[], into: Map<number, Made>): Promise<void> {
  for (const { seq, loggedMs, batch } of entries) {
    const made: readonly Forecast[] = await partition.take(
      seq,
      loggedMs,
      decodeBatch(Buffer.from(encodeBatch(batch))),
    );
    if (made.length > 0) into.set(seq, made.map(essence));
  }
}

describe('a partition', () => {
  it('forecasts every stream, by the clock of the log where it falls silent', async () => {
    const made = new Map<number, Made>();
    const partition = new Partition(fakeModel());
    await play(partition, logOf(1), made);
    const all = [...made.values()].flat();
    expect(new Set(all.map(({ stream }) => stream))).toEqual(new Set(NAMES));
    const silent = all.filter(({ stream, originMs }) => stream === 'silent' && originMs > START + 100_000);
    expect(silent.length).toBeGreaterThan(10);
    expect(partition.refused).toMatchObject({
      duplicate: expect.any(Number),
      'out-of-range': expect.any(Number),
    });
  });

  it('gives a stream that begins after a checkpoint the same first forecasts, learnt from its relatives', async () => {
    const next = uniform(5);
    const specs = ['one', 'two', 'three'].map((name) =>
      testSpec(name, { intervalMs: 1000, latenessMs: 500, horizonMs: 5000, unit: '°C' }),
    );
    const values = [20, 21, 22];
    const entries = Array.from({ length: 200 }, (_, second): Entry => {
      const nowMs = START + second * 1000;
      const present = specs.slice(0, second < 150 ? 2 : 3);
      const samples = present.map(({ name }, at) => {
        // The changes grow, so that a stream that told later would tell something else.
        values[at] += (next() - 0.5) * (1 + second / 20);
        return { stream: name, timeMs: nowMs, value: values[at], arrivalMs: nowMs };
      });
      const batch = { bridge: 'one', untilMs: nowMs, specs: second % 150 === 0 ? present : [], samples };
      return { seq: second + 1, loggedMs: nowMs, batch };
    });
    const undisturbed = new Map<number, Made>();
    await play(new Partition(fakeModel()), entries, undisturbed);
    const disturbed = new Map<number, Made>();
    const first = new Partition(fakeModel());
    await play(first, entries.slice(0, 140), disturbed);
    const second = await Partition.restore(await first.checkpoint(breathe), fakeModel());
    await play(second, entries.slice(140), disturbed);
    expect(disturbed).toEqual(undisturbed);
  });

  it.each([1, 2, 3])('continued from checkpoints equals one that never stopped (seed %i)', async (seed) => {
    const entries = logOf(seed);
    const undisturbed = new Map<number, Made>();
    await play(new Partition(fakeModel()), entries, undisturbed);
    const disturbed = new Map<number, Made>();
    const next = uniform(seed + 100);
    let partition = new Partition(fakeModel());
    for (let from = 0; from < entries.length; ) {
      let to = Math.min(entries.length, from + 1 + Math.floor(next() * 60));
      await play(partition, entries.slice(from, to), disturbed);
      // Readings that wait are in no checkpoint: none is saved then.
      for (; partition.isWaiting; to++) await play(partition, entries.slice(to, to + 1), disturbed);
      const bytes = await partition.checkpoint(breathe);
      // What is taken after the checkpoint is taken again by the next owner.
      await play(partition, entries.slice(to, to + 20), new Map());
      partition = await Partition.restore(bytes, fakeModel());
      expect(partition.seq).toBe(to);
      from = to;
    }
    expect(disturbed).toEqual(undisturbed);
    expect(undisturbed.size).toBeGreaterThan(50);
  });

  it('switches to another model where the log says so, whoever reads it', async () => {
    const entries: Entry[] = logOf(4);
    const at = 250;
    entries.splice(at, 0, { ...entries[at], batch: SWITCH });
    for (const [i, entry] of entries.entries()) entries[i] = { ...entry, seq: i + 1 };
    const open = { openModel: (): Promise<Model> => Promise.resolve(fakeModel({ hash: 'other', width: 3 })) };
    const undisturbed = new Map<number, Made>();
    await play(new Partition(fakeModel(), open), entries, undisturbed);
    // From a checkpoint before the switch, and from one after it, which begins with the other model; packed streams, too.
    for (const [to, packs] of [
      [at - 30, true],
      [at - 1, false],
      [at + 1, false],
      [at + 40, true],
    ] as const) {
      const shares = new PartitionShares({ total: packs ? 0 : Infinity, heap: Infinity });
      const first = new Partition(fakeModel(), { ...open, shares });
      const made = new Map<number, Made>();
      await play(first, entries.slice(0, to), made);
      const second = await Partition.restore(await first.checkpoint(breathe), fakeModel(), open);
      expect(second.modelRef.number).toBe(to > at ? 1 : 0);
      await play(second, entries.slice(to), made);
      expect(made).toEqual(undisturbed);
    }
    const without = new Map<number, Made>();
    await play(new Partition(fakeModel()), logOf(4), without);
    expect([...undisturbed.values()].slice(-1)).not.toEqual([...without.values()].slice(-1));
  });

  it('keeps covariates of other partitions, without forecasts of theirs', async () => {
    const named = testSpec('a', {
      intervalMs: 5000,
      latenessMs: 2000,
      horizonMs: 50_000,
      covariates: [{ kind: 'stream', name: 'b/c' }],
    });
    const entries = logOf(5).map((entry, at) =>
      at > 0 ? entry : { ...entry, batch: { ...entry.batch, specs: [named, ...entry.batch.specs.slice(1)] } },
    );
    const options = { isOwn: (stream: string) => stream !== 'b/c' };
    const whole = new Map<number, Made>();
    await play(new Partition(fakeModel(), options), entries, whole);
    const of = (made: Map<number, Made>, name: string) =>
      [...made.values()].flat().filter(({ stream }) => stream === name);
    expect(of(whole, 'a').length).toBeGreaterThan(20);
    expect(of(whole, 'b/c')).toEqual([]);
    // It is the covariate that counts: with other readings of it, the forecasts are others.
    const moved = entries.map((entry) => ({
      ...entry,
      batch: {
        ...entry.batch,
        samples: entry.batch.samples.map((one) =>
          one.stream === 'b/c' ? { ...one, value: 30 - one.value / 2 } : one,
        ),
      },
    }));
    const other = new Map<number, Made>();
    await play(new Partition(fakeModel(), options), moved, other);
    expect(of(other, 'a')).not.toEqual(of(whole, 'a'));
    expect(of(other, 'learns')).toEqual(of(whole, 'learns'));
    // And a checkpoint has it.
    const made = new Map<number, Made>();
    const first = new Partition(fakeModel(), options);
    await play(first, entries.slice(0, 200), made);
    const second = await Partition.restore(await first.checkpoint(breathe), fakeModel(), options);
    expect([second.size, second.last('b/c')]).toEqual([3, undefined]);
    await play(second, entries.slice(200), made);
    expect(made).toEqual(whole);
  });

  it('takes no model that cannot be had, and no older one again', async () => {
    const partition = new Partition(fakeModel());
    await play(partition, logOf(1, 30), new Map());
    const { seq } = partition;
    await expect(partition.take(seq + 1, START + 31_000, SWITCH)).rejects.toThrow(/no model 1/);
    expect(partition.seq).toBe(seq);
    const later = new Partition(fakeModel(), undefined, { number: 2, id: 'later' });
    await later.take(1, START, SWITCH);
    expect(later.modelRef.number).toBe(2);
  });

  describe('while a bridge takes a backlog', () => {
    const spec = testSpec('a', { intervalMs: 5000, latenessMs: 1000, horizonMs: 50_000 });
    const reading = (second: number): Sample => {
      const timeMs = START + second * 1000;
      return { stream: 'a', timeMs, value: second, arrivalMs: timeMs };
    };
    const batchOf = (untilMs: number | null, ...seconds: number[]): Batch => ({
      bridge: 'one',
      untilMs,
      specs: [spec],
      samples: seconds.map(reading),
    });
    const log = (): ((second: number, batch: Batch) => Promise<Forecast[]>) & { partition: Partition } => {
      const partition = new Partition(null);
      let seq = 0;
      const take = (second: number, batch: Batch) => partition.take(++seq, START + second * 1000, batch);
      return Object.assign(take, { partition });
    };

    it('its readings are taken in order of time, however they come', async () => {
      const take = log();
      await take(0, batchOf(START, 0));
      await take(11, batchOf(null, 11, 1));
      await take(12, batchOf(null, 7, 3));
      expect(take.partition.isWaiting).toBe(true);
      expect(take.partition.samples).toBe(1);
      const made = await take(13, batchOf(START + 13_000, 12, 8));
      expect(take.partition.isWaiting).toBe(false);
      expect(take.partition.refused).toEqual({});
      expect(take.partition.samples).toBe(7);
      expect(made.map(({ originMs }) => originMs)).toEqual([START + 5000]);
    });

    it('its readings wait for half a minute at most, also when it falls silent', async () => {
      const take = log();
      await take(0, batchOf(START, 0));
      await take(1, batchOf(null, 1));
      await take(30, { bridge: 'two', untilMs: START + 30_000, specs: [], samples: [] });
      expect(take.partition.samples).toBe(1);
      await take(31, { bridge: 'two', untilMs: START + 31_000, specs: [], samples: [] });
      expect(take.partition.samples).toBe(2);
      expect(take.partition.isWaiting).toBe(false);
    });

    it('a bridge whose clock was never set does not wait', async () => {
      const take = log();
      await take(0, batchOf(null, 0));
      await take(7, batchOf(null, 7));
      expect(take.partition.samples).toBe(2);
    });
  });

  it('depends on every reading: one that is left out changes a forecast', async () => {
    const entries = logOf(1);
    const whole = new Map<number, Made>();
    await play(new Partition(fakeModel()), entries, whole);
    const at = entries.findIndex(({ batch }) => batch.samples.length > 2);
    const lacking = entries.map((entry, i) =>
      i === at ? { ...entry, batch: { ...entry.batch, samples: [] } } : entry,
    );
    const made = new Map<number, Made>();
    await play(new Partition(fakeModel()), lacking, made);
    expect(made).not.toEqual(whole);
  });

  it('is read from the beginning of its log by another model, with the settings of its streams', async () => {
    const partition = new Partition(fakeModel());
    await play(partition, logOf(1, 60), new Map());
    partition.setLast('a', '{"v":1}');
    const other = await Partition.restore(await partition.checkpoint(breathe), fakeModel({ hash: 'other' }));
    expect(other.seq).toBe(0);
    expect(other.specs().map(({ name }) => name)).toEqual(NAMES);
    expect(other.last('a')).toBe('{"v":1}');
  });

  it('keeps the state of a stream whose settings change, where the state still fits', async () => {
    const entries = logOf(1, 120);
    const changed = testSpec('a', { intervalMs: 5000, latenessMs: 2000, horizonMs: 50_000, max: 100 });
    const made = new Map<number, Made>();
    const partition = new Partition(fakeModel());
    await play(partition, entries, made);
    const before = [...made.values()]
      .flat()
      .filter(({ stream }) => stream === 'a')
      .at(-1);
    const after = new Map<number, Made>();
    const last = entries[entries.length - 1];
    await partition.take(last.seq + 1, last.loggedMs + 1000, {
      bridge: 'one',
      untilMs: null,
      specs: [changed],
      samples: [],
    });
    await play(
      partition,
      logOf(1, 140)
        .slice(entries.length)
        .map((entry) => ({ ...entry, seq: entry.seq + 1 })),
      after,
    );
    const first = [...after.values()].flat().find(({ stream }) => stream === 'a');
    expect(first?.seq).toBeGreaterThan(before?.seq ?? Number.POSITIVE_INFINITY);
  });

  it('refuses a damaged checkpoint', async () => {
    const partition = new Partition(fakeModel());
    await play(partition, logOf(1, 60), new Map());
    const bytes = await partition.checkpoint(breathe);
    const short = bytes.subarray(0, bytes.length - 9);
    await expect(Partition.restore(short, fakeModel())).rejects.toThrow(/cannot be read/);
    await expect(Partition.restore(new Uint8Array(2), fakeModel())).rejects.toThrow(/cannot be read/);
  });
});

describe('a batch', () => {
  it.each([
    ['no JSON', 'x'],
    ['another version', '{"v":2,"bridge":"a","until":null}'],
    ['a reading without a time', '{"v":1,"bridge":"a","until":null,"readings":[["s",null,1,0]]}'],
    ['a stream without an interval', '{"v":1,"bridge":"a","until":null,"specs":[{"name":"s"}]}'],
  ])('is refused: %s', (_, text) => {
    expect(() => decodeBatch(Buffer.from(text))).toThrow(/log of a partition/);
  });
});

it('packs streams of a checkpoint while they are loaded, as soon as they are too many', async () => {
  const partition = new Partition(fakeModel());
  await play(partition, logOf(1), new Map());
  const bytes = await partition.checkpoint(breathe);
  const roomFor = async (streams: number): Promise<boolean> => {
    const shares = new PartitionShares({ total: streams * 4 * 54_000, heap: Infinity });
    await Partition.restore(bytes, fakeModel(), { shares });
    return shares.pools.isCrowded;
  };
  expect(partition.size).toBe(NAMES.length);
  expect(await roomFor(NAMES.length)).toBe(false);
  expect(await roomFor(NAMES.length - 1)).toBe(true);
});

it('packs streams when they would take too much of the memory that the process may use', () => {
  const plenty = { total: 24e9, heap: 4.3e9 };
  expect(mustPack(100_000, plenty)).toBe(false);
  expect(mustPack(200_000, plenty)).toBe(true);
  // A container or a service with a limit, and a small heap.
  expect(mustPack(5000, { ...plenty, total: 512 * 2 ** 20 })).toBe(true);
  expect(mustPack(5000, { ...plenty, total: 4 * 2 ** 30 })).toBe(false);
  expect(mustPack(20_000, { ...plenty, heap: 512 * 2 ** 20 })).toBe(true);
});
