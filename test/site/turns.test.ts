import { expect, it } from 'vitest';
import { Turns } from '../../src/site/turns.ts';

it('runs at most so many actions at a time, in order, also after one that failed', async () => {
  const turns = new Turns(2);
  const ends: ((error?: Error) => void)[] = [];
  const began: number[] = [];
  const all = [0, 1, 2, 3, 4].map((at) =>
    turns.take(() => {
      began.push(at);
      return new Promise<number>((resolve, reject) => {
        ends[at] = (error) => (error === undefined ? resolve(at) : reject(error));
      });
    }),
  );
  const settled = Promise.allSettled(all);
  const pass = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  expect(began).toEqual([0, 1]);
  ends[1]?.(new Error('failed'));
  await pass();
  expect(began).toEqual([0, 1, 2]);
  ends[0]?.();
  ends[2]?.();
  await pass();
  expect(began).toEqual([0, 1, 2, 3, 4]);
  ends[3]?.();
  ends[4]?.();
  expect((await settled).map(({ status }) => status)).toEqual([
    'fulfilled',
    'rejected',
    'fulfilled',
    'fulfilled',
    'fulfilled',
  ]);
  // A turn that was handed over does not let a later action in beside the others.
  let running = 0;
  let most = 0;
  const one = async (): Promise<void> => {
    most = Math.max(most, ++running);
    await pass();
    running--;
  };
  const first = [turns.take(one), turns.take(one), turns.take(one)];
  const later = turns.take(one).then(() => turns.take(one));
  await Promise.all([...first, later]);
  expect(most).toBe(2);
});
