/**
 * Strict JSON for signed messages: valid UTF-8, no duplicate keys (parsers could use different values), no prototype keys,
 * limited depth. Scans the text before `JSON.parse` recurses into it.
 */
import { errorText } from '../errors.ts';
import { isPoisonKey } from '../ingest/stream-name.ts';
import { MAX_PUSH_DEPTH } from './contract.ts';

type JsonResult =
  | { readonly value: unknown; readonly problem: null }
  | { readonly value: undefined; readonly problem: string };

const refused = (problem: string): JsonResult => ({ value: undefined, problem });

export function parseStrictJson(bytes: Uint8Array): JsonResult {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return refused('is not valid UTF-8');
  }
  const problem = scan(text);
  if (problem !== null) return refused(problem);
  try {
    return { value: JSON.parse(text) as unknown, problem: null };
  } catch (error) {
    return refused(`is not JSON: ${errorText(error).slice(0, 120)}`);
  }
}

/** Why the text must not be parsed; null if it may. Syntax errors are left to the parser. */
function scan(text: string): string | null {
  /** Keys so far of each open object; null for an array. */
  const open: (Set<string> | null)[] = [];
  /** Whether a key is expected in the innermost object. */
  let atKey = false;
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at];
    if (character === '{' || character === '[') {
      open.push(character === '{' ? new Set() : null);
      if (open.length > MAX_PUSH_DEPTH) return `is nested deeper than ${MAX_PUSH_DEPTH} levels`;
      atKey = character === '{';
    } else if (character === '}' || character === ']') {
      open.pop();
      atKey = false;
    } else if (character === ',') atKey = open.at(-1) instanceof Set;
    else if (character === ':') atKey = false;
    else if (character === '"') {
      const end = endOfString(text, at);
      const keys = open.at(-1);
      if (atKey && keys) {
        const key = keyOf(text.slice(at, end + 1));
        if (keys.has(key)) return `contains the key ${JSON.stringify(key.slice(0, 60))} twice in one object`;
        if (isPoisonKey(key)) return `contains the key ${JSON.stringify(key)}, which is not allowed`;
        keys.add(key);
      }
      at = end;
    }
  }
  return null;
}

/** Index of the closing quote, or the last index. */
function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at += 1) {
    if (text[at] === '\\') at += 1;
    else if (text[at] === '"') return at;
  }
  return text.length - 1;
}

/** The key with escapes resolved: `"\u0061"` and `"a"` are the same key. */
function keyOf(quoted: string): string {
  try {
    return String(JSON.parse(quoted));
  } catch {
    return quoted;
  }
}
