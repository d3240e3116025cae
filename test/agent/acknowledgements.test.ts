import { expect, test } from 'vitest';
import { Acknowledgements } from '../../src/agent/acknowledgements.ts';
import { FakeClock } from '../support/fake-clock.ts';

function setUp() {
  const clock = new FakeClock(0);
  const disk = { fails: false, flushes: 0, done: [] as ((safe: boolean) => void)[] };
  const acknowledged: number[] = [];
  const acknowledgements = new Acknowledgements({
    clock,
    flushMs: 5000,
    durability: 'power',
    store: {
      flush: (done) => {
        disk.flushes++;
        if (disk.fails) throw new Error('disk');
        if (done !== undefined) disk.done.push(done);
        return true;
      },
    },
  });
  const add = (from: number, to: number): void => {
    for (let n = from; n < to; n++) acknowledgements.add(() => acknowledged.push(n));
  };
  acknowledgements.start();
  return { clock, disk, acknowledged, acknowledgements, add };
}

test('under `power`, messages of a quarter of a second share one sync, and wait for it', () => {
  const { clock, disk, acknowledged, acknowledgements, add } = setUp();
  add(0, 3);
  acknowledgements.flushIfDue();
  expect(disk.flushes).toBe(0);
  expect(acknowledgements.dueInMs()).toBe(250);
  clock.advance(250);
  acknowledgements.flushIfDue();
  expect(disk.flushes).toBe(1);
  expect(acknowledged).toEqual([]);
  disk.done.pop()?.(true);
  expect(acknowledged).toEqual([0, 1, 2]);
});

test('16 messages are synced at once, because a broker may send no more before they are acknowledged', () => {
  const { disk, acknowledged, acknowledgements, add } = setUp();
  add(0, 16);
  acknowledgements.flushIfDue();
  expect(disk.flushes).toBe(1);
  add(16, 36);
  acknowledgements.flushIfDue();
  expect(disk.flushes).toBe(1);
  disk.done.pop()?.(true);
  expect(acknowledged).toHaveLength(16);
  expect(disk.flushes).toBe(2);
  disk.done.pop()?.(true);
  expect(acknowledged).toHaveLength(36);
});

test('a failed sync acknowledges nothing; a lost connection discards the waiting acknowledgements', () => {
  const { clock, disk, acknowledged, acknowledgements, add } = setUp();
  add(0, 16);
  acknowledgements.flushIfDue();
  disk.done.pop()?.(false);
  expect(acknowledgements.failing).toBe(true);
  expect(acknowledged).toEqual([]);
  clock.advance(1000);
  acknowledgements.flushIfDue();
  disk.done.pop()?.(true);
  expect(acknowledged).toHaveLength(16);
  add(16, 32);
  acknowledgements.flushIfDue();
  acknowledgements.lost();
  disk.done.pop()?.(true);
  acknowledgements.flush();
  expect(acknowledged).toHaveLength(16);
});

test('a flush that throws acknowledges nothing; the next one does', () => {
  const { clock, disk, acknowledged, acknowledgements, add } = setUp();
  add(0, 16);
  disk.fails = true;
  expect(() => acknowledgements.flushIfDue()).toThrow('disk');
  expect([acknowledged, acknowledgements.failing]).toEqual([[], true]);
  disk.fails = false;
  clock.advance(1000);
  acknowledgements.flushIfDue();
  disk.done.pop()?.(true);
  expect([acknowledged.length, acknowledgements.failing]).toEqual([16, false]);
});
