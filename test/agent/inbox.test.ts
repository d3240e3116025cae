import { expect, test } from 'vitest';
import { ClockHold } from '../../src/agent/clock-hold.ts';
import { Inbox } from '../../src/agent/inbox.ts';
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
      hold: new ClockHold({ clock, streams: () => [], probe: () => {}, keptMs: () => 0 }),
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
  const hold = new ClockHold({ clock, streams: () => [], probe: () => {}, keptMs: () => 60_000 });
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
});
