/** No module of a pure room holds a buffer that is written to: two engines in one thread would share it. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const TYPED =
  /^(?:export )?(?:const|let) (\w+)(?:: \w+)? = new (?:Float|Int|Uint|BigInt|BigUint)\d+(?:Clamped)?Array\(/gm;
/** Bits of one number, written and read within one call. */
const ALLOWED = ['src/series/bfloat16.ts: single', 'src/series/bfloat16.ts: bits'];

function buffersIn(path: string, text = readFileSync(path, 'utf8')): string[] {
  return [...text.matchAll(TYPED)].map(([, name]) => `${path}: ${name}`);
}

describe('a pure room', () => {
  it.each(['series', 'network', 'forecast'])('%s holds no mutable buffer in a module', (room) => {
    const files = readdirSync(`src/${room}`, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => `src/${room}/${name}`);
    expect(files.length).toBeGreaterThan(5);
    expect(files.flatMap((path) => buffersIn(path)).filter((one) => !ALLOWED.includes(one))).toEqual([]);
  });

  it('finds a buffer at module level, and no other array', () => {
    expect(buffersIn('a.ts', 'const row = new Float64Array(3);\n')).toEqual(['a.ts: row']);
    expect(buffersIn('a.ts', 'export let row: X = new Int32Array(3);\n')).toEqual(['a.ts: row']);
    expect(
      buffersIn('a.ts', 'const table = Float32Array.from([1]);\n  const row = new Float64Array(3);\n'),
    ).toEqual([]);
  });
});
