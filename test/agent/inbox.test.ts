import { expect, test, vi } from 'vitest';
import { Inbox } from '../../src/agent/inbox.ts';
import { Router } from '../../src/ingest/router.ts';
import type { Clock } from '../../src/system/clock.ts';
import { rule } from '../ingest/rules.ts';
import { sparkplug } from '../ingest/sparkplug-messages.ts';
import { testHold } from '../support/clock-hold.ts';
import { FakeClock } from '../support/fake-clock.ts';

const MB = 1024 * 1024;

test('messages that wait while streams change use bounded memory, whatever their size', () => {
  const clock = new FakeClock(Date.UTC(2025, 0, 1));
  const seen: number[] = [];
  const router = {
    message: (_topic: string, payload: Uint8Array) => {
      seen.push(payload.length);
      return { samples: [], discovered: [], requests: [], rejects: [] };
    },
  };
  const inbox = new Inbox(
    {
      clock,
      router,
      hold: testHold({ clock }),
      request: () => {},
    },
    () => {},
  );
  let acknowledged = 0;
  const receive = (bytes: number): void =>
    inbox.receive({
      topic: 't',
      payload: new Uint8Array(bytes),
      retained: false,
      acknowledge: () => acknowledged++,
    });
  inbox.pause();
  for (let i = 0; i < 40; i++) receive(MB);
  receive(10);
  expect([inbox.dropped(), acknowledged]).toEqual([{ overload: 9 }, 9]);
  inbox.resume();
  expect([seen.length, acknowledged]).toEqual([32, 41]);
  inbox.pause();
  receive(MB);
  inbox.resume();
  expect(seen.length).toBe(33);
});

test('in a backlog a time stamp that equals the time of arrival is kept, and a reading without one gets an earlier time', () => {
  const clock = new FakeClock(Date.UTC(2025, 0, 1));
  const stream = 's';
  let stamped = false;
  const router = {
    message: (_topic: string, _payload: Uint8Array, nowMs: number) => ({
      samples: [{ stream, timeMs: stamped ? nowMs : null, value: nowMs % 7, arrivalMs: nowMs }],
      discovered: [],
      requests: [],
      rejects: [],
    }),
  };
  const hold = testHold({ clock, keptMs: () => 60_000 });
  const heard = vi.spyOn(hold, 'heard');
  const former = { needs: () => false, take: () => null };
  const inbox = new Inbox({ clock, router, hold, request: () => {}, former }, () => {});
  const receive = (): number => {
    inbox.receive({ topic: 't', payload: new Uint8Array(1), retained: false, acknowledge: () => {} });
    return inbox.take()[0]?.samples[0]?.timeMs ?? Number.NaN;
  };
  // The stream has had readings without a time stamp, 500 ms apart.
  for (let i = 0; i < 5; i++, clock.advance(500)) expect(receive()).toBe(clock.now());
  hold.start();
  clock.advance(10_000);
  hold.connected({ resumed: true });
  stamped = true;
  expect(receive()).toBe(clock.now());
  stamped = false;
  expect(receive()).toBeLessThan(clock.now() - 5000);
  // The hold learns which messages came at QoS 0.
  expect(heard).toHaveBeenLastCalledWith(true);
  // A message that was delivered before shows that the backlog goes on.
  const arrived = vi.spyOn(hold, 'arrived');
  inbox.receive({
    topic: 't',
    payload: new Uint8Array(1),
    retained: false,
    again: true,
    acknowledge: () => {},
  });
  expect(arrived.mock.calls).toEqual([[Number.POSITIVE_INFINITY]]);
  inbox.receive({ topic: 't', payload: new Uint8Array(1), retained: false, acknowledge: null });
  expect(heard).toHaveBeenLastCalledWith(false);
});

test('the birth of a plant is decoded in turns of the event loop; data behind it waits, other messages do not', () => {
  const clock = new FakeClock(Date.UTC(2025, 0, 1));
  const router = new Router([rule('spBv1.0/{g}/+/{n}/#', 'sparkplug'), rule('other')], {
    limits: { maxStreams: 20_000 },
  });
  const hold = testHold({ clock });
  const requests: string[] = [];
  const inbox = new Inbox({ clock, router, hold, request: ({ topic }) => requests.push(topic) }, () => {});
  const acknowledged: string[] = [];
  const receive = (topic: string, payload: Uint8Array): void =>
    inbox.receive({ topic, payload, retained: false, acknowledge: () => acknowledged.push(topic) });
  const taken: [string, number][] = [];
  const take = (): number => {
    const waiting = inbox.take();
    for (const { samples, acknowledge } of waiting) {
      for (const { stream, value } of samples) taken.push([stream, value]);
      acknowledge?.();
    }
    return waiting.length;
  };
  const name = (i: number): string =>
    `Site north/Hall 3/Line ${i % 7}/Press ${i}/Hydraulics/Circuit with a long description/Temperature of the oil`;
  const metrics = Array.from({ length: 2000 }, (_, i) => ({
    name: name(i),
    alias: i,
    type: 9,
    float: i,
    unit: 'C',
  }));
  const birth = sparkplug([{ name: 'bdSeq', type: 8, long: 1 }, ...metrics], 0, clock.now());
  expect(birth.length).toBeGreaterThan(256 * 1024);

  receive('spBv1.0/p/NBIRTH/edge', birth);
  receive('spBv1.0/p/NDATA/edge', sparkplug([{ alias: 1999, float: 0.5 }], 1, clock.now()));
  receive('other', Buffer.from('7'));
  take();
  // One part of the birth, and the message of the other rule.
  expect([taken.length, taken.at(-1), acknowledged]).toEqual([256, ['other', 7], ['other']]);
  inbox.pause();
  clock.advance(1);
  expect(take()).toBe(0);
  inbox.resume();
  clock.advance(1);
  take();
  expect(taken.length).toBe(2002);
  expect(new Set(taken.map(([stream]) => stream)).size).toBe(2001);
  expect(taken.find(([stream]) => stream === `p/edge/${name(1711)}`)).toEqual([`p/edge/${name(1711)}`, 1711]);
  expect(taken.at(-1)).toEqual([`p/edge/${name(1999)}`, 0.5]);
  expect(acknowledged).toEqual(['other', 'spBv1.0/p/NBIRTH/edge', 'spBv1.0/p/NDATA/edge']);
  expect([requests, router.dropped(), inbox.dropped()]).toEqual([[], {}, {}]);
});

test('parts of a large message take 10 ms of a turn of the event loop', () => {
  const clock = new FakeClock(Date.UTC(2025, 0, 1));
  const nothing = { samples: [], discovered: [], requests: [], rejects: [] };
  const turns: (() => void)[] = [];
  let parts = 0;
  let nowMs = 0;
  const router = {
    message: (_topic: string, payload: Uint8Array) => {
      if (payload.length > 1) return { ...nothing, rest: Array.from(payload, () => new Uint8Array(1)) };
      parts++;
      nowMs += 4;
      return nothing;
    },
  };
  const timed: Clock = {
    now: () => clock.now(),
    monotonic: () => nowMs,
    after: (_ms, run) => {
      turns.push(run);
      return () => {};
    },
  };
  const hold = testHold({ clock });
  const inbox = new Inbox({ clock: timed, router, hold, request: () => {} }, () => {});
  inbox.receive({ topic: 't', payload: new Uint8Array(7), retained: false, acknowledge: null });
  const after: number[] = [];
  for (let turn = turns.shift(); turn !== undefined; turn = turns.shift()) {
    turn();
    after.push(parts);
  }
  expect(after).toEqual([3, 6, 7]);
});
