import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { bytesWrittenByThread, factsReader } from '../../src/system/facts.ts';
import { tempDirs } from '../support/temp.ts';

const temp = tempDirs();

it('reads this machine', () => {
  let now = 0;
  const read = factsReader(() => now);
  const before = process.cpuUsage();
  const usedUs = (): number => {
    const { user, system } = process.cpuUsage(before);
    return user + system;
  };
  while (usedUs() < 50_000);
  now = 50;
  const facts = read();
  expect(facts.rssMb).toBeGreaterThan(20);
  expect(facts.cpuPercent).toBeGreaterThan(95);
  expect(facts.cores).toBeGreaterThanOrEqual(1);
  expect(facts.memoryAvailableMb).toBeLessThanOrEqual(facts.memoryTotalMb);
});

it('looks once within the least time between two looks', () => {
  let now = 0;
  const read = factsReader(() => now, { leastMs: 1000 });
  now = 2000;
  const first = read();
  now = 2999;
  expect(read()).toBe(first);
  now = 3000;
  expect(read()).not.toBe(first);
});

it('takes the hottest believable zone', () => {
  const root = `${temp()}/`;
  const zone = (n: number, text: string) => {
    mkdirSync(join(root, `sys/class/thermal/thermal_zone${n}`), { recursive: true });
    writeFileSync(join(root, `sys/class/thermal/thermal_zone${n}/temp`), text);
  };
  expect(factsReader(() => 0, { root })().temperatureC).toBeNull();
  zone(0, '41500\n');
  zone(1, '52250\n');
  zone(2, '2147483647\n');
  zone(3, 'no');
  expect(factsReader(() => 0, { root })().temperatureC).toBe(52.25);
});

it('counts bytes written', () => {
  const before = bytesWrittenByThread();
  writeFileSync(join(temp(), 'x'), Buffer.alloc(10_000));
  expect(bytesWrittenByThread() - before).toBeGreaterThanOrEqual(10_000);
});
