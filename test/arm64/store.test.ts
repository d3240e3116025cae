// The store on each board: what was flushed survives kill -9, and the next start reads it.
import { describe, expect, it } from 'vitest';
import { tempDirs } from '../support/temp.ts';
import { BOARDS, runGuest } from './board.ts';

const temp = tempDirs();

describe.each(BOARDS)('%s', (board) => {
  it('keeps flushed samples and states through kill -9', async () => {
    const dir = temp();
    await expect(runGuest(board, 'store', ['write', dir])).rejects.toThrow(/SIGKILL|137/);
    const found = await runGuest(board, 'store', ['read', dir]);
    // Stream s1 has every third of 3000 samples: 1, 4, ... 2998, each an eighth of its number.
    expect(found).toEqual({
      samples: 1000,
      sum: ((1 + 2998) * 1000) / 2 / 8,
      ordered: true,
      snapshot: { modelHash: 'abc/1.1', bytes: Array.from({ length: 300 }, (_, i) => i % 256) },
    });
  });
});
