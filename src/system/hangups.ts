/**
 * SIGHUP, which asks the daemon to read its config again. By default the signal ends a process, and the daemon's code loads for a while
 * before it can handle one.
 */
let early = false;
const remember = (): void => {
  early = true;
};
let handle = remember;
const listener = (): void => handle();

/** From then on SIGHUP does not end the process. @returns undoes this, unless an earlier call did it */
export function catchHangups(): () => void {
  if (process.listeners('SIGHUP').includes(listener)) return () => {};
  process.on('SIGHUP', listener);
  return () => void process.off('SIGHUP', listener);
}

/** Calls `handler` at each SIGHUP, and at once if one came while there was none. @returns a function that ends this */
export function onHangup(handler: () => void): () => void {
  handle = handler;
  if (early) handler();
  early = false;
  return () => {
    handle = remember;
  };
}
