import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import { expect, test } from 'vitest';
import { Board } from '../../src/web/board.ts';
import { Events } from '../../src/web/events.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { fakeForecast } from '../support/forecasts.ts';

/** A client that reads everything at once. */
class Tab extends EventEmitter {
  readonly writableLength = 0;
  text = '';
  writeHead(): void {}
  destroy(): void {}
  write(text: string): void {
    this.text += text;
  }
  shows(name: string): boolean {
    return this.text.includes(`"stream":"${name}"`);
  }
}

test('every chart of every tab is updated, although rounds are cut short and all charts change constantly', () => {
  const clock = new FakeClock(0);
  const board = new Board(() => []);
  const names = ['a', 'b', 'c', 'd', 'e'];
  let originMs = 0;
  const change = (): void => {
    originMs += 1000;
    for (const stream of names) board.record(fakeForecast({ stream, originMs }), 0);
  };
  change();
  // A slow machine: each stream takes longer than a round may.
  const get = board.get.bind(board);
  board.get = (name) => {
    clock.advance(60);
    return get(name);
  };
  const events = new Events({
    board,
    status: () => ({}) as never,
    clock,
    maxClients: 2,
    maxBufferBytes: 1e6,
    roundMs: 1000,
    statusMs: 1e9,
    stuckMs: 1e9,
  });
  const tabs = [new Tab(), new Tab()];
  const add = (tab: Tab): boolean =>
    events.add(
      tab as unknown as ServerResponse,
      names.map((name) => ({ name, as: 'stream' })),
    );
  expect(tabs.map(add)).toEqual([true, true]);
  for (let round = 0; round < 2 * names.length; round++) {
    change();
    clock.advance(1000);
  }
  for (const tab of tabs) for (const name of names) expect(tab.shows(name), name).toBe(true);
  // A tab that is closed, or whose connection fails, makes room for another one.
  const ends = ['close', 'error'].map((end, at) => {
    const before = add(new Tab());
    tabs[at]?.emit(end, new Error('reset'));
    return [before, add(new Tab())];
  });
  expect(ends).toEqual([
    [false, true],
    [false, true],
  ]);
  events.stop();
});
