// The native modules load and work on each board, and each board shows the processor that it is meant to have.
import { describe, expect, it } from 'vitest';
import { BOARDS, runGuest } from './board.ts';

describe.each(BOARDS)('%s', (board) => {
  it('loads better-sqlite3 and onnxruntime-node', async () => {
    expect(await runGuest(board, 'native')).toEqual({
      arch: 'arm64',
      dotProduct: board === 'pi5',
      row: { n: 1000, sum: (999 * 1000) / 2 / 8, last: 1_700_000_000_999 },
      backends: expect.arrayContaining(['cpu']) as unknown,
      tensor: { type: 'float32', dims: [3, 1], data: [1, 2, 3] },
    });
  });
});
