import { describe, expect, it } from 'vitest';
import { CONFIGURED } from '../../src/site/batch.ts';
import { decodeCheckpoint, encodeCheckpoint } from '../../src/site/checkpoint.ts';

const PARTITION = {
  seq: 7,
  tickMs: 1000,
  untilMs: 900,
  bridges: [],
  streams: [],
  model: CONFIGURED,
};

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
});
