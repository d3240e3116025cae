/** Objects of parsed JSON, and their members. */

export type Tree = Readonly<Record<string, unknown>>;

export const isTree = (value: unknown): value is Tree =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A member of a list's element, or of an object in it: `device.id`. */
export function memberOf(element: unknown, key: string): unknown {
  if (!isTree(element)) return undefined;
  if (Object.hasOwn(element, key)) return element[key];
  const at = key.indexOf('.');
  const inner = at < 0 || !Object.hasOwn(element, key.slice(0, at)) ? undefined : element[key.slice(0, at)];
  const rest = key.slice(at + 1);
  return isTree(inner) && Object.hasOwn(inner, rest) ? inner[rest] : undefined;
}
