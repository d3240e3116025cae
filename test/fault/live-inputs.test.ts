/** More offsets, and a long gap, for `test/training/live-inputs.test.ts`. */
import { describe, it } from 'vitest';
import { FILLS } from '../../src/series/spec.ts';
import { inputsAfterALongGap, inputsAreTheLiveOnes } from '../training/live-inputs.ts';

describe('the inputs of training', () => {
  for (const fill of FILLS)
    it.each([1e3, 4.5e6, 1e9])(`equal the live inputs: fill ${fill}, offset %d`, (offset) =>
      inputsAreTheLiveOnes(offset, fill),
    );

  it.each(['model', 'drop'] as const)('are the live ones after a gap that live shortens: fill %s', (fill) =>
    inputsAfterALongGap(fill),
  );
});
