import { describe, expect, it } from 'vitest';
import { Excursion } from '../../src/series/excursion.ts';
import { History } from '../../src/series/history.ts';
import { StateReader, StateWriter } from '../../src/series/state-io.ts';

const LONGEST = 24;

function kept(values: readonly number[], restartAt = -1, day = 0): number[] {
  const history = new History(600);
  let excursion = new Excursion(LONGEST, day);
  for (const [i, value] of values.entries()) {
    if (i === restartAt) {
      const writer = new StateWriter();
      excursion.persist(writer);
      excursion = new Excursion(LONGEST, day);
      excursion.persist(new StateReader(writer.finish()));
    }
    history.push(value);
    excursion.add(value, history);
  }
  return Array.from({ length: history.steps }, (_, i) => history.at(history.steps - 1 - i));
}

const room = (n: number): number[] => Array.from({ length: n }, (_, i) => 21 + Math.sin(i / 9));

describe('a stretch far from all that a stream has shown', () => {
  it.each([-1, 75])('is replaced if it ends soon (restart at %i)', (restartAt) => {
    const values = [...room(70), ...new Array<number>(12).fill(-127), 21, 21.1];
    const all = kept(values, restartAt);
    for (const value of all) expect(value).toBeGreaterThan(19);
    expect(all[69]).toBeCloseTo(values[69]!, 5);
    expect(all[82]).toBe(21);
  });

  it('is kept if it lasts: a new level', () => {
    const values = [...room(70), ...new Array<number>(LONGEST + 10).fill(-127), 21, 21.1];
    expect(kept(values).filter((value) => value === -127)).toHaveLength(LONGEST + 10);
  });

  it.each([-1, 150])('is replaced each time if it is rare (restart at %i)', (restartAt) => {
    const values = [...room(70), 85, 85, ...room(130), 85, 85, ...room(160), 85, 85, ...room(10)];
    expect(kept(values, restartAt)).not.toContain(85);
  });

  it('is kept if it comes each time after the same time, or at the same time of day', () => {
    const visits = (n: number) => Array.from({ length: n }, () => [85, 85, ...room(110)]).flat();
    const values = [...room(70), ...visits(4)];
    for (const restartAt of [-1, 150, 183, 320])
      expect(kept(values, restartAt).filter((value) => value === 85)).toHaveLength(2);
    expect(kept(values.slice(0, -112))).not.toContain(85);
    expect(kept(values, -1, 56).filter((value) => value === 85)).toHaveLength(6);
  });

  it('is replaced again soon if it is an error code, as values that differ are not', () => {
    const twice = (visit: readonly number[], apart = 120) =>
      kept([...room(70), ...visit, ...room(apart), ...visit, ...room(10)]).filter((value) => value > 80);
    expect(twice(new Array<number>(8).fill(85))).toHaveLength(0);
    expect(twice([85, 86, 85, 84, 85, 86, 85, 84])).toHaveLength(8);
    // Two equal values may be chance.
    expect(twice([85, 85], 60)).toHaveLength(2);
  });

  it('is kept if it occurs again soon', () => {
    const visit = new Array<number>(8).fill(90);
    const values = [...room(70), ...visit, ...room(40), ...visit, ...room(10)];
    expect(kept(values).filter((value) => value === 90)).toHaveLength(visit.length);
  });

  it('is not searched for in a stream with little history or a single value', () => {
    expect(kept([...room(20), -127, -127, 21])).toContain(-127);
    expect(kept([...new Array<number>(90).fill(5), 90, 90, 5])).toContain(90);
  });
});
