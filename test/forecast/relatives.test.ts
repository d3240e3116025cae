/** What streams of one kind tell each other: by plain sums. */
import { expect, it } from 'vitest';
import { Relatives } from '../../src/forecast/relatives.ts';

it('the mean of the relatives leaves out the stream itself and other kinds', () => {
  const relatives = new Relatives();
  expect(relatives.of('temperature', 'a')).toEqual({ count: 0, mean: 0 });
  for (const [stream, learnt] of Object.entries({ a: 1, b: 2, c: 6 }))
    relatives.tell('temperature', stream, learnt);
  relatives.tell('power', 'd', 9);
  expect(relatives.of('temperature', 'a')).toEqual({ count: 2, mean: 4 });
  expect(relatives.of('temperature', 'new')).toEqual({ count: 3, mean: 3 });
  expect(relatives.of('power', 'd')).toEqual({ count: 0, mean: 0 });
});

it('a stream counts once, with its last kind, until it is forgotten', () => {
  const relatives = new Relatives();
  relatives.tell('temperature', 'a', 1);
  relatives.tell('power', 'a', 2);
  relatives.tell('power', 'b', 4);
  expect(relatives.of('temperature', 'x')).toEqual({ count: 0, mean: 0 });
  expect(relatives.of('power', 'x')).toEqual({ count: 2, mean: 3 });
  relatives.forget('a');
  relatives.forget('unknown');
  expect(relatives.told()).toEqual([['power', 'b', 4]]);
});

it('sixteen streams of a kind are remembered, also after a restart', () => {
  const relatives = new Relatives();
  for (let i = 0; i < 20; i++) relatives.tell('power', `s${i}`, i);
  relatives.tell('heat', 'h', 5);
  expect(relatives.of('power', 'x')).toEqual({ count: 16, mean: 7.5 });
  const again = new Relatives();
  again.tell('gone', 'g', 1);
  again.restore(relatives.told());
  expect(again.told()).toEqual(relatives.told());
  expect(again.of('gone', 'x').count).toBe(0);
});
