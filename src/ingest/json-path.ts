/** Looks up fields in parsed JSON by key, dotted key or JSON Pointer (RFC 6901), through own properties alone. */

/** A compiled path: the ways to look, tried in order. */
export type JsonPath = readonly (readonly string[])[];

const MAX_DEPTH = 32;

/** Compiles `temperature`, `ENERGY.Power` or `/ENERGY/Power`. Null when a pointer has a bad escape or is too deep. */
export function compilePath(path: string): JsonPath | null {
  if (path.startsWith('/')) {
    if (/~(?![01])/.test(path)) return null;
    const tokens = path
      .slice(1)
      .split('/')
      .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
    return tokens.length <= MAX_DEPTH ? [tokens] : null;
  }
  if (path === '') return null;
  const dotted = path.split('.');
  if (dotted.length > MAX_DEPTH) return null;
  // A key that holds a dot itself goes before the nested reading of it.
  return dotted.length === 1 || dotted.includes('') ? [[path]] : [[path], dotted];
}

/** The value, or undefined when it is not there. Never touches the prototype chain. */
export function lookUp(json: unknown, path: JsonPath): unknown {
  for (const tokens of path) {
    let value = json;
    for (const token of tokens) {
      if (typeof value !== 'object' || value === null || !Object.hasOwn(value, token)) {
        value = undefined;
        break;
      }
      value = (value as Record<string, unknown>)[token];
    }
    if (value !== undefined) return value;
  }
  return undefined;
}

/** The name of a field as it goes into a stream's name: the pointer without its first slash, dots kept. */
export function pathName(path: string): string {
  return path.startsWith('/')
    ? path.slice(1).replaceAll('/', '.').replaceAll('~1', '_').replaceAll('~0', '~')
    : path;
}
