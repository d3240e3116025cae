/** Reads objects from the object store of a site. */
import type { ObjectStore } from '@nats-io/obj';
import { errorText, GatecastError } from '../errors.ts';
import { type Clock, systemClock } from '../system/clock.ts';

/** Longest time without a part of an object, ms. */
const SILENT_MS = 10_000;

/**
 * The client's `getBlob` never ends if the parts of the object are deleted meanwhile, and takes more than a minute if the server is
 * restarted.
 * @returns null if there is no such object, or if it is damaged
 * @throws GatecastError SITE_UNREACHABLE if it does not arrive; errors of the client
 */
export async function readObject(
  store: Pick<ObjectStore, 'get'>,
  name: string,
  clock: Pick<Clock, 'after'> = systemClock,
): Promise<Uint8Array | null> {
  const found = await store.get(name);
  if (found === null) return null;
  // The stream fails with the same error.
  found.error.catch(() => {});
  const reader = found.data.getReader();
  const parts: Uint8Array[] = [];
  try {
    for (;;) {
      const { done, value } = await inTime(reader.read(), name, clock);
      if (done) return joined(parts);
      parts.push(value);
    }
  } catch (error) {
    void reader.cancel().catch(() => {});
    if (errorText(error).includes('corrupt object')) return null;
    throw error;
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function inTime<T>(action: Promise<T>, name: string, clock: Pick<Clock, 'after'>): Promise<T> {
  let cancel = (): void => {};
  const late = new Promise<never>((_, reject) => {
    cancel = clock.after(SILENT_MS, () => {
      const text = `The object ${name} does not arrive from NATS.`;
      reject(new GatecastError('SITE_UNREACHABLE', text, { hint: 'It is tried again.' }));
    });
  });
  return Promise.race([action, late]).finally(() => cancel());
}
