/** Compares configs: a hash of the complete config, and which changes a running agent can apply. */
import { createHash } from 'node:crypto';
import { type PathPart, pathText } from './document.ts';
import { schemasTo } from './issues.ts';
import type { Config } from './schema.ts';
import { RELOAD_KEY, type Reload } from './values.ts';

/** SHA-256, in hex, of the complete config with sorted keys; independent of the file's formatting. */
export function configHash(config: Config): string {
  return createHash('sha256').update(canonicalJson(config)).digest('hex');
}

/** JSON with sorted keys and without undefined values. */
function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value ?? null);
  const entries = Object.entries(value)
    .filter(([, inner]) => inner !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, inner]) => `${JSON.stringify(key)}:${canonicalJson(inner)}`);
  return `{${entries.join(',')}}`;
}

export interface ConfigDiff {
  /** Paths of changed keys that a running agent can apply. */
  readonly hot: readonly string[];
  /** Paths of changed keys that need a new connection to the broker. */
  readonly reconnect: readonly string[];
  /** Paths of changed keys that need a restart. */
  readonly restart: readonly string[];
}

export function diffConfig(before: Config, after: Config): ConfigDiff {
  const keys: Record<Reload, string[]> = { hot: [], reconnect: [], restart: [] };
  compare(before, after, [], (path) => void keys[reloadOf(path)].push(pathText(path)));
  return keys;
}

/** The running config, updated with the keys of `wanted` that need no restart. */
export function takeHot(running: Config, wanted: Config): Config {
  return merged(running, wanted, []) as Config;
}

function merged(running: unknown, wanted: unknown, path: readonly PathPart[]): unknown {
  if (!isTree(running) || !isTree(wanted) || Array.isArray(running) || Array.isArray(wanted))
    return path.length > 0 && reloadOf(path) !== 'restart' ? wanted : running;
  const entries = [...new Set([...Object.keys(running), ...Object.keys(wanted)])].map((key) => [
    key,
    merged(running[key], wanted[key], [...path, key]),
  ]);
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
}

type Tree = Readonly<Record<string, unknown>>;
const isTree = (value: unknown): value is Tree => typeof value === 'object' && value !== null;

function compare(
  before: unknown,
  after: unknown,
  path: readonly PathPart[],
  changed: (path: readonly PathPart[]) => void,
): void {
  if (!isTree(before) || !isTree(after) || Array.isArray(before) !== Array.isArray(after)) {
    if (canonicalJson(before) !== canonicalJson(after)) changed(path);
    return;
  }
  const list = Array.isArray(before);
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)]))
    compare(before[key], after[key], [...path, list ? Number(key) : key], changed);
}

/** The innermost reload note on the way to a path; default `restart`. */
function reloadOf(path: readonly PathPart[]): Reload {
  let reload: Reload = 'restart';
  for (const schemas of schemasTo(path))
    for (const { [RELOAD_KEY]: noted } of schemas)
      if (noted === 'hot' || noted === 'reconnect' || noted === 'restart') reload = noted;
  return reload;
}
