import { expect, it } from 'vitest';
import type { StepAnswer, Stepper } from '../../src/model/stepper.ts';
import { sharedModel } from '../../src/site/shared-model.ts';
import { fakeModel } from '../support/fake-model.ts';

it('passes all answers of a model with an own network on, and a later run does not change them', async () => {
  const answer: StepAnswer = {
    quantiles: new Float32Array(1),
    own: new Float32Array(1),
    h: new Float32Array(1),
  };
  const arrays = [answer.quantiles, answer.own, answer.h];
  const stepper: Stepper = {
    inputs: 1,
    leads: 1,
    layers: 1,
    hidden: 1,
    hasOwn: true,
    // As in `sessions.ts`, every run writes into the same arrays.
    run: async (_, x) => {
      for (const [i, array] of arrays.entries()) array?.set([x[0] + i]);
      return answer;
    },
    release: () => Promise.resolve(),
  };
  const model = sharedModel({ ...fakeModel(), stepper: () => Promise.resolve(stepper) });
  const shared = await model.stepper(1);
  expect(shared.hasOwn).toBe(true);
  const made = await Promise.all([10, 20].map((x) => shared.run(1, Float32Array.of(x), new Float32Array(1))));
  expect(made.map(({ quantiles, own, h }) => [quantiles[0], own?.[0], h[0]])).toEqual([
    [10, 11, 12],
    [20, 21, 22],
  ]);
});
