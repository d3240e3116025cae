// Holds the rules of docs/architecture.md against the imports as they are.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';
import { importsOf, withoutComments } from './imports.ts';
import { readRules, roomOf } from './rules.ts';

const rules = readRules(readFileSync('docs/architecture.md', 'utf8'));

const files = readdirSync('src', { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts') && !name.endsWith('.d.ts'))
  .map((name) => {
    const path = join('src', name);
    const source = readFileSync(path, 'utf8');
    const imports = importsOf(source).map(({ specifier, typeOnly }) => ({
      specifier,
      typeOnly,
      /** A path below src/, or null for a package. */
      path: specifier.startsWith('.') ? normalize(join(dirname(path), specifier)) : null,
    }));
    return { path, room: roomOf(path), source, imports };
  })
  .sort((a, b) => (a.path < b.path ? -1 : 1));

/** Rooms at the root of everything: they know no other room, not even its types. */
const ROOTS = new Set(
  [...rules.values()]
    .filter(
      ({ pure, imports }) =>
        pure && [...(imports ?? ['all'])].every((name) => name === 'errors' || name === 'quantiles'),
    )
    .map((room) => room.name),
);

describe('rooms', () => {
  it('reads the table', () => {
    expect(rules.size).toBeGreaterThanOrEqual(15);
    expect(rules.get('series')).toMatchObject({ pure: true, imports: new Set(['quantiles', 'errors']) });
    expect(rules.get('agent')?.imports).toBeNull();
    expect(rules.get('errors')?.imports).toEqual(new Set());
    expect([...rules.values()].flatMap((room) => room.packageOwned ?? []).sort()).toEqual([
      'better-sqlite3',
      'mqtt',
      'onnxruntime-node',
    ]);
    expect(files.length).toBeGreaterThan(5);
  });

  it('has every folder of src in the table', () => {
    expect([...new Set(files.map((file) => file.room))].filter((room) => !rules.has(room))).toEqual([]);
  });

  it('imports only what the table allows', () => {
    const broken = files.flatMap(({ path, room, imports }) =>
      imports
        .filter((entry) => entry.path !== null)
        .filter((entry) => {
          const target = roomOf(entry.path ?? '');
          const allowed = rules.get(room)?.imports;
          if (target === room || allowed === null || allowed?.has(target)) return false;
          // The log line is for every room that may do something of its own.
          if (target === 'log') return rules.get(room)?.pure ?? true;
          return !entry.typeOnly || ROOTS.has(room);
        })
        .map((entry) => `${path} -> ${entry.specifier}`),
    );
    expect(broken).toEqual([]);
  });

  it('names existing files, with their extension', () => {
    const known = new Set(
      readdirSync('src', { recursive: true, encoding: 'utf8' }).map((name) => join('src', name)),
    );
    const broken = files.flatMap(({ path, imports }) =>
      imports
        .filter(
          (entry) => entry.path !== null && !known.has(entry.path) && !entry.path.endsWith('package.json'),
        )
        .map((entry) => `${path} -> ${entry.specifier}`),
    );
    expect(broken).toEqual([]);
  });

  it('has no cycle among value imports', () => {
    const graph = new Map(
      files.map(({ path, imports }) => [
        path,
        imports.filter((entry) => !entry.typeOnly && entry.path !== null).map((entry) => entry.path ?? ''),
      ]),
    );
    expect(findCycle(graph)).toEqual([]);
    expect(
      findCycle(
        new Map([
          ['a', ['b']],
          ['b', ['c']],
          ['c', ['b']],
        ]),
      ),
    ).toEqual(['b', 'c', 'b']);
  });

  it('keeps pure rooms pure: no node:*, no package that does I/O, no clock, no randomness, no timers', () => {
    const impure =
      /\bDate\.now\b|\bnew Date\(\)|\bMath\.random\b|\bperformance\.|\bprocess\.|\bset(?:Timeout|Interval|Immediate)\b|\bconsole\.|\bfetch\(|\bcrypto\./;
    const broken = files
      .filter(({ room }) => rules.get(room)?.pure)
      .flatMap(({ path, source, imports }) => [
        ...imports
          .filter(
            ({ specifier, typeOnly }) =>
              !typeOnly && !specifier.startsWith('.') && !PURE_PACKAGES.has(specifier),
          )
          .map(({ specifier }) => `${path} -> ${specifier}`),
        ...withoutComments(source)
          .split('\n')
          .flatMap((line, index) => (impure.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [])),
      ]);
    expect(broken).toEqual([]);
  });

  it('has one importer each for the packages that reach outside', () => {
    for (const room of rules.values()) {
      if (!room.packageOwned) continue;
      const importers = files
        .filter(({ imports }) =>
          imports.some(({ specifier, typeOnly }) => specifier === room.packageOwned && !typeOnly),
        )
        .map(({ path }) => path);
      expect(importers.length, `${room.packageOwned}: ${importers.join(', ')}`).toBeLessThanOrEqual(1);
      for (const path of importers) expect(roomOf(path), `${room.packageOwned} in ${path}`).toBe(room.name);
    }
  });

  it('writes private members and indices in one way (docs/decisions/0018)', () => {
    const other = /\bthis\.#|^\s*(?:static |readonly |async )*#\w|\]!/;
    const broken = files.flatMap(({ path, source }) =>
      withoutComments(source)
        .split('\n')
        .flatMap((line, index) => (other.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [])),
    );
    expect(broken).toEqual([]);
  });

  it('has every file say first what it is', () => {
    expect(files.filter(({ source }) => !/^(#!.*\n)?\/[/*]/.test(source)).map(({ path }) => path)).toEqual(
      [],
    );
  });
});

/** Packages that compute only. protobufjs encodes the graphs. */
const PURE_PACKAGES = new Set([
  'protobufjs',
  'protobufjs/minimal.js',
  'protobufjs/minimal',
  'protobufjs/light.js',
]);

/** The first cycle found, as its files in order with the first repeated at the end; empty when there is none. */
function findCycle(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const done = new Set<string>();
  const visit = (node: string, trail: readonly string[]): string[] => {
    const seen = trail.indexOf(node);
    if (seen >= 0) return [...trail.slice(seen), node];
    if (done.has(node)) return [];
    for (const next of graph.get(node) ?? []) {
      const cycle = visit(next, [...trail, node]);
      if (cycle.length > 0) return cycle;
    }
    done.add(node);
    return [];
  };
  for (const node of graph.keys()) {
    const cycle = visit(node, []);
    if (cycle.length > 0) return cycle;
  }
  return [];
}
