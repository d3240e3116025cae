// Every member computes the owner of each partition: evenly, and with few moves when a member comes or goes.
import { describe, expect, it } from 'vitest';
import { assignPartitions } from '../../src/site/assignment.ts';
import { forecastSubject, partitionOf } from '../../src/site/names.ts';

const members = (count: number): string[] => Array.from({ length: count }, (_, at) => `node-${at}`);
const moved = (before: readonly string[], after: readonly string[]): number =>
  before.filter((owner, at) => owner !== after[at]).length;

describe('the assignment of partitions', () => {
  it.each([1, 2, 3, 5, 8])('is even among %i members, and does not depend on their order', (count) => {
    const owners = assignPartitions(members(count), 64);
    const loads = members(count).map((member) => owners.filter((owner) => owner === member).length);
    expect(Math.max(...loads)).toBeLessThanOrEqual(Math.ceil(64 / count));
    expect(Math.min(...loads)).toBeGreaterThan(0);
    expect(assignPartitions(members(count).reverse(), 64)).toEqual(owners);
  });

  it.each([2, 3, 4, 6])(
    'moves little more than the share of a member that joins %i others or leaves',
    (count) => {
      const before = assignPartitions(members(count), 256);
      const after = assignPartitions(members(count + 1), 256);
      expect(moved(before, after)).toBeLessThanOrEqual(1.5 * Math.ceil(256 / (count + 1)));
      expect(moved(before, after)).toBeGreaterThanOrEqual(Math.floor(256 / (count + 1)) - count);
    },
  );

  it('is empty without members', () => {
    expect(assignPartitions([], 8)).toEqual([]);
  });
});

describe('the partition of a stream', () => {
  it('never changes: readings stay where they are', () => {
    expect(['boiler/flow', 'a', '', 'Zähler 7'].map((name) => partitionOf(name, 64))).toEqual([
      3, 51, 11, 44,
    ]);
  });

  it('spreads names that differ in one digit', () => {
    const loads = new Array<number>(64).fill(0);
    for (let at = 0; at < 6400; at++) loads[partitionOf(`hall/sensor${at}`, 64)]++;
    expect(Math.min(...loads)).toBeGreaterThan(60);
    expect(Math.max(...loads)).toBeLessThan(140);
  });
});

it('encodes what a subject must not hold', () => {
  expect(forecastSubject('p', 'hall 1/a.b')).toBe('gatecast.p.forecast.hall%201.a%2Eb');
  expect(forecastSubject('p', 'x>*%')).toBe('gatecast.p.forecast.x%3E%2A%25');
});
