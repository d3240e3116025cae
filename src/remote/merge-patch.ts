/**
 * JSON merge patch (RFC 7396). Own code: the packages of the registry with this algorithm had no release for years, and
 * the one in wide use changes its input. Neither `target` nor `patch` is changed; the result may share parts with both.
 * Prototype keys never get here (`strict-json.ts`), and are skipped all the same.
 */
import { isPoisonKey } from '../ingest/stream-name.ts';

export type JsonObject = Readonly<Record<string, unknown>>;

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const merged = new Map(Object.entries(isObject(target) ? target : {}));
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) merged.delete(key);
    else if (!isPoisonKey(key)) merged.set(key, mergePatch(merged.get(key), value));
  }
  return Object.fromEntries(merged);
}
