/** No module of a pure room holds a buffer that is written to: two engines in one thread would share it. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const ARRAY = '(?:Float|Int|Uint|BigInt|BigUint)\\d+(?:Clamped)?Array|ArrayBuffer|DataView|Buffer';
/** A variable that holds one, and one declared to hold one later. */
const TYPED = new RegExp(
  `^(?:export )?(?:(?:const|let) (\\w+)(?:: [^=;]+)? = new (?:${ARRAY})\\(|let (\\w+): [^=;]*\\b(?:${ARRAY})\\b)`,
  'gm',
);

function buffersIn(path: string, text = readFileSync(path, 'utf8')): string[] {
  return [...text.matchAll(TYPED)].map(([, held, later]) => `${path}: ${held ?? later}`);
}

describe('a pure room', () => {
  it.each(['series', 'network', 'forecast', 'plot'])('%s holds no mutable buffer in a module', (room) => {
    const files = readdirSync(`src/${room}`, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => `src/${room}/${name}`);
    expect(files.length).toBeGreaterThan(0);
    expect(files.flatMap((path) => buffersIn(path))).toEqual([]);
  });

  it('finds a buffer at module level, and no other array', () => {
    expect(buffersIn('a.ts', 'const row = new Float64Array(3);\n')).toEqual(['a.ts: row']);
    expect(buffersIn('a.ts', 'export let row: X = new Int32Array(3);\n')).toEqual(['a.ts: row']);
    expect(buffersIn('a.ts', 'let spare: Uint8Array | null = null;\n')).toEqual(['a.ts: spare']);
    expect(buffersIn('a.ts', 'let row: { a: Int8Array } | undefined;\n')).toEqual(['a.ts: row']);
    expect(
      buffersIn('a.ts', 'const table = Float32Array.from([1]);\n  const row = new Float64Array(3);\n'),
    ).toEqual([]);
  });
});
