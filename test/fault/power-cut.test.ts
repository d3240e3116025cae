/** Row 3: power loss. A shim keeps of each file what it held at its last sync; the process is killed, and the rest is thrown away. */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { SqliteStore } from '../../src/store/sqlite-store.ts';
import { canRun, startChild } from '../support/child.ts';
import { uniform } from '../support/random.ts';
import { tempDirs } from '../support/temp.ts';
import { sleep, waitFor } from '../support/wait.ts';
import { countNumbered, keepAll, NUMBERED_T0 } from './store-numbered.ts';

const LOOPS = 12;
const GCC = canRun('gcc', ['--version'], 'a simulated power cut');
const temp = tempDirs();

/** @returns rows reported as safe, and rows that are there after the power cut */
async function cut(shim: string, durability: 'crash' | 'power', afterMs: number) {
  const root = temp();
  const [from, into] = [join(root, 'data'), join(root, 'disk')];
  for (const folder of [from, into]) mkdirSync(folder);
  const wrap = ['env', `LD_PRELOAD=${shim}`, `POWER_FROM=${from}`, `POWER_TO=${into}`];
  const child = startChild('test/fault/store-child.ts', [from, '1000000', '37', durability], wrap);
  await waitFor('the child', () => child.lines.length > 3);
  await sleep(afterMs);
  child.process.kill('SIGKILL');
  await child.ended;
  const safe = Math.max(...child.lines.flatMap((line) => /^safe (\d+)$/.exec(line)?.[1] ?? []).map(Number));
  const faults: string[] = [];
  const store = SqliteStore.open(keepAll(into, ({ kind }) => faults.push(kind)));
  const rows = countNumbered(store.since(NUMBERED_T0));
  store.close();
  expect(faults).toEqual([]);
  return { safe, rows };
}

describe.skipIf(!GCC)('row 3: a power cut', () => {
  const build = (): string => {
    const shim = join(temp(), 'power-cut.so');
    execFileSync('gcc', ['-shared', '-fPIC', '-O1', '-o', shim, 'test/fault/power-cut.c', '-ldl']);
    return shim;
  };

  it(`row 3: under \`power\`, nothing that was reported as safe is lost, in ${LOOPS} cuts`, async () => {
    const shim = build();
    const random = uniform(5);
    for (let n = 0; n < LOOPS; n++) {
      const { safe, rows } = await cut(shim, 'power', random() * 300);
      expect(safe).toBeGreaterThan(0);
      expect(rows).toBeGreaterThanOrEqual(safe);
    }
  });

  it('row 3: under `crash`, what was not synced is lost, and the rest is whole', async () => {
    const shim = build();
    let lost = 0;
    // One of them may come right after a checkpoint, which syncs.
    for (let n = 0; n < 4; n++) {
      const { safe, rows } = await cut(shim, 'crash', 60);
      lost += safe - rows;
    }
    expect(lost).toBeGreaterThan(0);
  });
});
