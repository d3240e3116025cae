/**
 * JSON merge patch (RFC 7396). Implemented here because the available packages had no release for years, and the popular
 * one modifies its input. Does not change `target` or `patch`; the result may share parts with both. Prototype keys are
 * already refused by `strict-json.ts`, and skipped here too.
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
