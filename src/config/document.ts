/**
 * Parses a config file safely: YAML 1.2 core or JSON (a subset), without custom tags, duplicate keys or prototype keys;
 * size, depth and aliases are limited.
 */

import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  visit,
} from 'yaml';
import { errorText, type Issue } from '../errors.ts';
import { excerpt } from '../ingest/rejects.ts';
import { isPoisonKey } from '../ingest/stream-name.ts';

const MAX_BYTES = 1024 * 1024;
const MAX_DEPTH = 32;
/** Maximum number of alias expansions; a "billion laughs" attack needs far more. */
const MAX_ALIAS_COUNT = 100;

/** Keys are compared below, because the parser's check is quadratic. */
const PARSER = { schema: 'core', uniqueKeys: false, merge: false } as const;

export type PathPart = string | number;

/** Line of the value at a path, or of the nearest value around it; null when unknown. */
export type LineOf = (path: readonly PathPart[]) => number | null;

interface ConfigDocument {
  readonly value: unknown;
  readonly issues: readonly Issue[];
  readonly lineOf: LineOf;
}

export function parseConfigText(text: string): ConfigDocument {
  const failed = (message: string): ConfigDocument => ({
    value: undefined,
    issues: [{ path: '', message }],
    lineOf: () => null,
  });
  if (Buffer.byteLength(text) > MAX_BYTES) return failed('is larger than 1 MB');
  if (isNestedTooDeep(text)) return failed(`is nested deeper than ${MAX_DEPTH} levels`);
  const lines = new LineCounter();
  const document = parseDocument(text, {
    ...PARSER,
    lineCounter: lines,
    prettyErrors: false,
    logLevel: 'error',
  });
  const line = (offset: number | undefined): number | null =>
    offset === undefined ? null : lines.linePos(offset).line;
  const issue = (offset: number, message: string): Issue => ({
    path: '',
    message: `line ${line(offset)}: ${message}${shownLine(text, line(offset))}`,
  });
  const open = openQuote(document);
  const issues: Issue[] =
    open === null
      ? [...document.errors, ...document.warnings].map(({ pos, message }) => issue(pos[0], message))
      : [issue(open, 'this quote is not closed')];
  if (issues.length === 0) checkNode(document.contents, '', 0, issues, (offset) => line(offset) ?? 0);
  const lineOf: LineOf = (path) => {
    for (let length = path.length; length > 0; length -= 1) {
      const node = document.getIn(path.slice(0, length), true) as Node | undefined;
      if (node?.range) return line(node.range[0]);
    }
    return null;
  };
  if (issues.length > 0) return { value: undefined, issues, lineOf };
  try {
    return { value: document.toJS({ maxAliasCount: MAX_ALIAS_COUNT }), issues, lineOf };
  } catch (error) {
    return failed(errorText(error));
  }
}

/** Offset of a quote that is never closed. The parser reports it, and what is then missing, where it notices: at the end of the text. */
function openQuote(document: Document): number | null {
  const fault = document.errors.find(
    ({ code, message }) => code === 'MISSING_CHAR' && message.startsWith('Missing closing'),
  );
  if (fault === undefined) return null;
  let opened: number | null = null;
  visit(document, {
    Scalar(_, { type, range }) {
      if (type?.startsWith('QUOTE') && range?.[1] === fault.pos[0]) opened = range[0];
    },
  });
  return opened;
}

/** Reads single values from a text that may have errors; undefined where there is none. */
export function statedValues(text: string): (path: readonly PathPart[]) => unknown {
  if (Buffer.byteLength(text) > MAX_BYTES || isNestedTooDeep(text)) return () => undefined;
  const document = parseDocument(text, { ...PARSER, logLevel: 'silent' });
  return (path) => document.getIn(path);
}

/** Text of the line, for the message. */
function shownLine(text: string, line: number | null): string {
  const shown = line === null ? undefined : text.split('\n')[line - 1]?.trim();
  return shown === undefined || shown === '' ? '' : `: ${excerpt(shown, 80)}`;
}

function checkNode(
  node: unknown,
  path: string,
  depth: number,
  issues: Issue[],
  line: (offset: number | undefined) => number,
): void {
  if (depth > MAX_DEPTH) {
    issues.push({ path, message: `is nested deeper than ${MAX_DEPTH} levels` });
  } else if (isMap(node)) {
    const seen = new Set<string>();
    for (const { key, value } of node.items) {
      const at = isScalar(key) ? line(key.range?.[0]) : line(node.range?.[0]);
      if (!isScalar(key)) {
        issues.push({ path, message: `line ${at}: a key must be a plain text` });
        continue;
      }
      const name = String(key.value);
      const inner = join(path, name);
      if (isPoisonKey(name)) issues.push({ path: inner, message: `line ${at}: this key is never allowed` });
      else if (seen.has(name)) issues.push({ path: inner, message: `line ${at}: duplicate key` });
      else {
        seen.add(name);
        checkNode(value, inner, depth + 1, issues, line);
      }
    }
  } else if (isSeq(node)) {
    for (const [at, item] of node.items.entries()) checkNode(item, `${path}[${at}]`, depth + 1, issues, line);
  } else if (isAlias(node) && isPoisonKey(node.source))
    issues.push({ path, message: 'this alias is never allowed' });
}

const join = (path: string, key: string): string => (path === '' ? key : `${path}.${key}`);

/**
 * Refuses deep nesting before the parser recurses into it, by counting flow brackets and the dashes of block lists. Also
 * counts those in quotes and comments, which can only refuse too much.
 */
function isNestedTooDeep(text: string): boolean {
  let open = 0;
  for (const character of text) {
    if (character === '[' || character === '{') open += 1;
    else if (character === ']' || character === '}') open = Math.max(0, open - 1);
    if (open > MAX_DEPTH) return true;
  }
  return text.split('\n').some((row) => {
    const indent = /^(?:[ ]|[-?:] )*/.exec(row)?.[0] ?? '';
    return indent.length > MAX_DEPTH * 8 || (indent.match(/[-?:] /g)?.length ?? 0) > MAX_DEPTH;
  });
}

export function located(path: readonly PathPart[], message: string, lineOf: LineOf): Issue {
  const line = lineOf(path);
  return { path: pathText(path), message: line === null ? message : `${message} (line ${line})` };
}

/** `streams[0].limits.min` from path parts. */
export function pathText(path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (text, part) => (typeof part === 'number' ? `${text}[${part}]` : join(text, String(part))),
    '',
  );
}
