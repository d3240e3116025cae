import { describe, expect, it } from 'vitest';
import { CONFIGURED } from '../../src/site/batch.ts';
import { decodeCheckpoint, encodeCheckpoint } from '../../src/site/checkpoint.ts';
import { loggedStreams } from '../../src/site/history.ts';
import type { Site } from '../../src/site/nats.ts';
import { Partition } from '../../src/site/partition.ts';
import { fakeModel } from '../support/fake-model.ts';
import { testSpec } from '../support/specs.ts';

const PARTITION = { seq: 7, tickMs: 1000, untilMs: 900, bridges: [], streams: [], model: CONFIGURED };

describe('the checkpoint of a partition', () => {
  it.each([1_800_000_000_000, Number.POSITIVE_INFINITY])(
    'keeps the time of its last message: %d',
    (loggedMs) => {
      expect(decodeCheckpoint(encodeCheckpoint({ ...PARTITION, loggedMs }))).toMatchObject({
        seq: 7,
        loggedMs,
      });
    },
  );

  it('names the covariates that a stream has chosen, which fine-tuning then plays it with', async () => {
    const grid = { intervalMs: 1000, leads: 10, buckets: 1000 };
    const outdoor = { kind: 'stream', name: 'outdoor' } as const;
    const entry = { open: [], last: null, newestMs: 0, snapshot: null };
    const room = testSpec('room', { findsCovariates: true });
    const streams = [
      { ...entry, spec: room, grid: { ...grid, chosen: [outdoor] } },
      { ...entry, spec: testSpec('outdoor'), grid },
    ];
    const found = await streamsOf(encodeCheckpoint({ ...PARTITION, loggedMs: 0, streams }));
    expect(found).toMatchObject([
      { spec: { name: 'room', findsCovariates: false, covariates: [outdoor] }, isGuest: false, ...grid },
      { spec: testSpec('outdoor'), ...grid },
    ]);
  });

  it('has a list of chosen covariates for the streams that choose, and for no others', async () => {
    const at = Date.UTC(2026, 0, 5);
    const partition = new Partition(fakeModel());
    const specs = [testSpec('room', { findsCovariates: true }), testSpec('outdoor')];
    const samples = specs.map(({ name }) => ({ stream: name, timeMs: at, value: 20, arrivalMs: at }));
    await partition.take(1, at + 5000, { bridge: 'one', untilMs: at + 4000, specs, samples }, async () => {});
    const { streams } = decodeCheckpoint(await partition.checkpoint(async () => {}));
    expect(streams.map(({ spec, grid }) => [spec.name, grid?.chosen])).toEqual([
      ['room', []],
      ['outdoor', undefined],
    ]);
  });
});

/** Streams of the only partition of a site whose checkpoint is this. */
const streamsOf = (bytes: Uint8Array) =>
  loggedStreams(
    {
      partitions: 1,
      state: { get: async () => ({ operation: 'PUT', json: () => ({ object: 'o' }) }) },
      checkpoints: {
        get: async () => ({ data: new Blob([new Uint8Array(bytes)]).stream(), error: Promise.resolve(null) }),
      },
    } as unknown as Site,
    0,
  );
