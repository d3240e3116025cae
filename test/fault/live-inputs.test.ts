/** More offsets for `test/training/live-inputs.test.ts`. */
import { describe } from 'vitest';
import { inputsAreTheLiveOnes } from '../training/live-inputs.ts';

describe('the inputs of training', () => {
  inputsAreTheLiveOnes([1e3, 4.5e6]);
});
