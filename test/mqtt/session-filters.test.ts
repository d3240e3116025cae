/** The filters of a session: what is asked for, refused, left over and remembered, against a broker modelled as a set. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SessionFilters } from '../../src/mqtt/session-filters.ts';

function make(former: readonly string[] | null) {
  const remembered: string[][] = [];
  const filters = new SessionFilters({ former, remember: (list) => remembered.push([...list]) });
  return { filters, remembered };
}
const at = (qos: 0 | 1, ...names: string[]) => names.map((filter) => ({ filter, qos }));

describe('session filters', () => {
  it('subscribes to filters that are new or have another QoS, and lists those no longer wanted as stale', () => {
    const { filters } = make([]);
    expect(filters.known).toBe(true);
    expect(filters.want(at(1, 'a', 'b'))).toEqual(at(1, 'a', 'b'));
    expect(filters.want(at(1, 'a', 'b'))).toEqual([]);
    expect(filters.want([...at(0, 'a'), ...at(1, 'c')])).toEqual([...at(0, 'a'), ...at(1, 'c')]);
    expect(filters.wanted).toEqual([...at(0, 'a'), ...at(1, 'c')]);
    expect(filters.stale).toEqual(['b']);
    filters.want(at(1, 'b'));
    expect(filters.stale.sort()).toEqual(['a', 'c']);
    filters.takenBack(['a']);
    expect(filters.stale).toEqual(['c']);
  });

  it('unsubscribes from filters of a former run, unless they are wanted again or the session is new', () => {
    const { filters, remembered } = make(['old', 'kept']);
    filters.want(at(1, 'kept', 'new'));
    expect(filters.stale).toEqual(['old']);
    expect(remembered.at(-1)).toEqual(['kept', 'new', 'old']);
    filters.begin(false);
    expect(filters.stale).toEqual(['old']);
    filters.begin(true);
    expect(filters.stale).toEqual([]);
    expect(remembered.at(-1)).toEqual(['kept', 'new']);
  });

  it('without stored filters it remembers none until a connection begins', () => {
    const { filters, remembered } = make(null);
    filters.want(at(1, 'a'));
    expect([filters.known, remembered]).toEqual([false, []]);
    filters.begin(true);
    expect([filters.known, remembered]).toEqual([true, [['a']]]);
  });

  it('reports a refusal once, until it is granted or a new connection begins', () => {
    const { filters } = make([]);
    filters.want(at(1, 'a', 'b'));
    const answer = (...refused: string[]) => filters.answered(at(1, 'a', 'b', 'gone'), new Set(refused));
    expect(answer('a', 'gone')).toEqual(['a']);
    expect(filters.refused).toEqual(['a']);
    expect(answer('a', 'b')).toEqual(['b']);
    expect(answer('a')).toEqual([]);
    expect(filters.refused).toEqual(['a']);
    expect(answer()).toEqual([]);
    expect(answer('a')).toEqual(['a']);
    filters.begin(false);
    expect(filters.refused).toEqual([]);
    expect(answer('a')).toEqual(['a']);
    filters.want(at(1, 'b'));
    expect(filters.refused).toEqual([]);
  });

  it('always remembers at least what the broker may hold', () => {
    const names = fc.subarray(['a', 'b', 'c', 'd', 'e']);
    const step = fc.oneof(
      fc.record({ kind: fc.constant('want' as const), names }),
      fc.record({ kind: fc.constant('take' as const), names }),
      fc.record({ kind: fc.constant('lose' as const), names: fc.constant<string[]>([]) }),
    );
    fc.assert(
      fc.property(names, fc.array(step, { maxLength: 20 }), (former, steps) => {
        const { filters, remembered } = make(former);
        const held = new Set(former);
        for (const { kind, names: list } of steps) {
          if (kind === 'want') for (const { filter } of filters.want(at(1, ...list))) held.add(filter);
          else if (kind === 'take') {
            const stale = filters.stale.filter((name) => list.includes(name));
            for (const name of stale) held.delete(name);
            filters.takenBack(stale);
          } else {
            held.clear();
            filters.begin(true);
            for (const { filter } of filters.wanted) held.add(filter);
          }
          expect(remembered.at(-1)).toEqual(expect.arrayContaining([...held]));
          expect(new Set([...filters.wanted.map(({ filter }) => filter), ...filters.stale])).toEqual(
            new Set(remembered.at(-1)),
          );
        }
      }),
    );
  });
});
