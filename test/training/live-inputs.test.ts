/** Training sees the inputs that the live engine gave the network, number by number, before they are kept in 8 bits. */
import { describe, expect, it } from 'vitest';
import { both, expectEqual, inputsAreTheLiveOnes } from './live-inputs.ts';

describe('the inputs of training', () => {
  // Two more offsets: test/fault/live-inputs.test.ts.
  inputsAreTheLiveOnes([0, 1e9]);

  // Without covariates: what live remembers of them after such an outage depends on when the stream spoke again.
  it.each(['model', 'drop'] as const)(
    'are the live ones after a gap that live shortens: fill %s',
    async (fill) => {
      const { live, trained, series } = await both(0, fill, 4200, 3800, true);
      expect(series.jumps).toHaveLength(1);
      expectEqual(live, trained);
    },
  );

  it('differ if the fill differs', async () => {
    const hold = await both(0, 'hold');
    const seasonal = await both(0, 'mean');
    expect(hold.trained.map(({ x }) => [...x])).not.toEqual(seasonal.trained.map(({ x }) => [...x]));
  });
});
