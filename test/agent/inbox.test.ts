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
