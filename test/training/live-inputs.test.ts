/** Training sees the inputs that the live engine gave the network, number by number, before they are kept in 8 bits. */
import { describe, expect, it } from 'vitest';
import { FILLS } from '../../src/series/spec.ts';
import { both, inputsAreTheLiveOnes } from './live-inputs.ts';

// More offsets, and a long gap: test/fault/live-inputs.test.ts.
describe('the inputs of training', () => {
  it.each(FILLS)('equal the live inputs: fill %s', (fill) => inputsAreTheLiveOnes(0, fill));

  it('equal the live inputs at a large offset', () => inputsAreTheLiveOnes(1e9, 'model'));

  it('differ if the fill differs', async () => {
    const hold = await both(0, 'hold');
    const seasonal = await both(0, 'mean');
    expect(hold.trained.map(({ x }) => [...x])).not.toEqual(seasonal.trained.map(({ x }) => [...x]));
  });
});
