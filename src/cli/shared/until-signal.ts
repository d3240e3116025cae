/** Waits for the signal to stop; a second one ends the process at once. */
export function untilSignal(
  signals: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGINT'],
): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let asked = false;
    for (const signal of signals)
      process.on(signal, () => {
        if (asked) process.exit(1);
        asked = true;
        resolve(signal);
      });
  });
}

/** Calls `stop` on the first SIGINT or SIGTERM, and `kill` on further ones. @returns a function that ends this */
export function onSignal(stop: () => void, kill: () => void = () => process.exit(1)): () => void {
  let asked = false;
  const handler = (): void => {
    if (asked) kill();
    else stop();
    asked = true;
  };
  process.on('SIGINT', handler).on('SIGTERM', handler);
  return () => process.off('SIGINT', handler).off('SIGTERM', handler);
}
