import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { onSignal, untilSignal, waitUnlessSignal } from '../../../src/cli/shared/until-signal.ts';

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;
const listeners = () => process.listenerCount('SIGINT') + process.listenerCount('SIGTERM');

/** The signals sent here must not reach the test runner. */
const others = SIGNALS.map((name) => [name, process.listeners(name)] as const);
beforeEach(() => {
  for (const [name, handlers] of others) for (const handler of handlers) process.off(name, handler);
});
afterEach(() => {
  for (const [name, handlers] of others) for (const handler of handlers) process.on(name, handler);
});

describe('signals of a command', () => {
  it('end a wait early, and leave no listener behind', async () => {
    const before = listeners();
    const waits = waitUnlessSignal(3_600_000);
    expect(listeners()).toBe(before + 2);
    process.emit('SIGTERM', 'SIGTERM');
    await waits;
    expect(listeners()).toBe(before);
  });

  it('are not needed to end a wait', async () => {
    const before = listeners();
    await waitUnlessSignal(1, ['SIGINT']);
    expect(listeners()).toBe(before);
  });

  it('are named to who waits for one, until nobody does', async () => {
    const before = listeners();
    const { received, unhook } = untilSignal();
    process.emit('SIGTERM', 'SIGTERM');
    expect(await received).toBe('SIGTERM');
    unhook();
    expect(listeners()).toBe(before);
  });

  it('stop first and kill then', () => {
    const calls: string[] = [];
    const unhook = onSignal(
      () => calls.push('stop'),
      () => calls.push('kill'),
    );
    process.emit('SIGINT', 'SIGINT');
    process.emit('SIGTERM', 'SIGTERM');
    unhook();
    process.emit('SIGINT', 'SIGINT');
    expect(calls).toEqual(['stop', 'kill']);
  });
});
