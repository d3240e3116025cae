/** Runs one decoder on one payload and gathers what it found. */
import type { Decoder } from '../../src/ingest/decoder.ts';
import { Message } from '../../src/ingest/message.ts';
import type { Reject } from '../../src/ingest/rejects.ts';

export const ARRIVAL = Date.UTC(2024, 4, 17, 12);

export interface Found {
  readonly readings: { field: string; value: number; timeMs: number | null; unit: string | null }[];
  readonly rejects: Reject[];
  readonly requests: { topic: string; payload: Uint8Array }[];
}

export function decode(
  decoder: Decoder,
  payload: string | Uint8Array,
  topic = 'sensors/cellar',
  maxDepth = 32,
): Found {
  const found: Found = { readings: [], rejects: [], requests: [] };
  const bytes = typeof payload === 'string' ? Buffer.from(payload) : payload;
  decoder.decode(new Message(topic, bytes, ARRIVAL, maxDepth), {
    reading: (field, value, timeMs, unit) => found.readings.push({ field, value, timeMs, unit }),
    reject: (reason, detail) => found.rejects.push({ reason, detail }),
    request: (topic, payload) => found.requests.push({ topic, payload }),
  });
  return found;
}

export const values = (found: Found): Record<string, number> =>
  Object.fromEntries(found.readings.map(({ field, value }) => [field, value]));
export const reasons = (found: Found): string[] => found.rejects.map(({ reason }) => reason);
