import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { run } from '../support/run.ts';
import { tempDirs } from '../support/temp.ts';

const temp = tempDirs();

function file(rows: number): string {
  const path = join(temp(), 'short.csv');
  const lines = Array.from({ length: rows }, (_, i) => `${new Date(i * 3_600_000).toISOString()},${i % 24}`);
  writeFileSync(path, `date,load\n${lines.join('\n')}\n`);
  return path;
}

describe('backtest --protocol', () => {
  test('needs neither --time nor --interval nor --horizon; says so when the file is too short', async () => {
    const { code, err } = await run('backtest', file(200), '--protocol', 'ltsf');
    expect(code).toBe(1);
    expect(err).toMatch(/NOT_ENOUGH_DATA/);
    expect(err).toMatch(/14400 buckets .* the file has 200/);
  });

  test('wrong usage ends with 2', async () => {
    const path = file(20);
    expect(await run('backtest', path, '--protocol', 'm4')).toMatchObject({ code: 2 });
    const beside = await run('backtest', path, '--protocol', 'ltsf', '--stride', '12');
    expect(beside.code).toBe(2);
    expect(beside.err).toContain('--stride cannot be used with --protocol');
  });

  test('takes one of its horizons alone, and no other', async () => {
    const path = file(14_400);
    const { code, err } = await run('backtest', path, '--protocol', 'ltsf', '--horizon', '24');
    expect(code).toBe(2);
    expect(err).toContain('96, 192, 336, 720');
  });

  test('without --protocol, --horizon is required, and an interval that can be detected', async () => {
    const path = file(20);
    const none = await run('backtest', path, '--time', 'date', '--interval', '1h');
    expect(none.code).toBe(2);
    expect(none.err).toContain("'--horizon <steps>' not specified");
    const short = await run('backtest', path, '--time', 'date', '--horizon', '24');
    expect(short.code).toBe(1);
    expect(short.err).toMatch(/rows|buckets|NOT_ENOUGH_DATA/);
  });
});
