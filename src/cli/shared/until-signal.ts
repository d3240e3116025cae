/** Signals that stop a command. */
import { setTimeout as pause } from 'node:timers/promises';

interface StopSignal {
  readonly received: Promise<NodeJS.Signals>;
  /** Removes the handlers. */
  readonly unhook: () => void;
}

/** Waits for the signal to stop; a second one ends the process at once. */
export function untilSignal(signals: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGINT']): StopSignal {
  let unhook = (): void => {};
  const received = new Promise<NodeJS.Signals>((resolve) => {
    unhook = onSignal(resolve, undefined, signals);
  });
  return { received, unhook };
}

/** Calls `stop` on the first of the signals, and `kill` on further ones. @returns a function that ends this */
export function onSignal(
  stop: (signal: NodeJS.Signals) => void,
  kill: () => void = () => process.exit(1),
  signals: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGINT'],
): () => void {
  let asked = false;
  const handler = (signal: NodeJS.Signals): void => {
    if (asked) kill();
    else stop(signal);
    asked = true;
  };
  for (const signal of signals) process.on(signal, handler);
  return () => {
    for (const signal of signals) process.off(signal, handler);
  };
}

/** Waits for a time, or for a signal that ends the wait early. */
export async function waitUnlessSignal(ms: number, signals?: readonly NodeJS.Signals[]): Promise<void> {
  const early = new AbortController();
  const unhook = onSignal(() => early.abort(), undefined, signals);
  await pause(ms, undefined, { signal: early.signal }).catch(() => {});
  unhook();
}
