import { mkdirSync, writeFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { systemClock } from '../../src/system/clock.ts';
import { renderMetrics } from '../../src/web/metrics.ts';
import { RuntimeMetrics } from '../../src/web/runtime-metrics.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { hasPrometheus, promtool } from '../support/prometheus.ts';
import { tempDirs } from '../support/temp.ts';
import { sleep, waitFor } from '../support/wait.ts';

const tempDir = tempDirs();
const made: RuntimeMetrics[] = [];
function make(...args: ConstructorParameters<typeof RuntimeMetrics>) {
  const metrics = new RuntimeMetrics(...args);
  made.push(metrics);
  const values = () =>
    new Map(metrics.families().map(({ name, values: [first] }) => [name, first?.value ?? 0]));
  return { metrics, values };
}
afterEach(() => {
  for (const one of made.splice(0)) one.stop();
});

test('have the names and units of the client libraries, and plausible values', () => {
  const values = make(systemClock).values();
  const cpu = values.get('process_cpu_user_seconds_total') ?? 0;
  expect(cpu).toBeGreaterThan(0.05);
  expect(values.get('process_cpu_seconds_total')).toBeCloseTo(
    cpu + (values.get('process_cpu_system_seconds_total') ?? 0),
  );
  const startedMs = 1000 * (values.get('process_start_time_seconds') ?? 0);
  expect(Math.abs(startedMs - (Date.now() - process.uptime() * 1000))).toBeLessThan(2000);
  for (const name of [
    'process_resident_memory_bytes',
    'process_virtual_memory_bytes',
    'nodejs_heap_size_used_bytes',
    'nodejs_heap_size_total_bytes',
  ])
    expect(values.get(name), name).toBeGreaterThan(2 ** 20);
  expect(values.get('process_resident_memory_bytes')).toBeLessThan(
    values.get('process_virtual_memory_bytes') ?? 0,
  );
  expect(values.get('process_open_fds')).toBeGreaterThan(3);
  expect(values.get('process_max_fds')).toBeGreaterThan(values.get('process_open_fds') ?? 0);
});

test('the start of the process does not change when its clock is set', () => {
  const clock = new FakeClock(1_000_000);
  const { values } = make(clock);
  const uptimeS = process.uptime();
  clock.jump(1_700_000_000_000);
  const startS = values().get('process_start_time_seconds') ?? 0;
  expect(Math.abs(startS - (1_700_001_000 - uptimeS))).toBeLessThan(2);
  clock.advance(60_000);
  expect(values().get('process_start_time_seconds')).toBe(startS);
});

test('a blocked event loop is seen at the next scrape, and forgotten after it', async () => {
  const { values } = make(systemClock);
  expect(values().get('nodejs_eventloop_lag_max_seconds')).toBe(0);
  /** If the process gets no time for 60 ms, this timer may run before that of the measurement; both run before an immediate. */
  const measured = () => sleep(60).then(() => setImmediate());
  const lag = async (): Promise<number> => {
    await measured();
    return values().get('nodejs_eventloop_lag_max_seconds') ?? 0;
  };
  // The measurement begins with the first call of its timer.
  await measured();
  const endMs = performance.now() + 600;
  while (performance.now() < endMs);
  expect(await lag()).toBeGreaterThan(0.4);
  await waitFor('a quiet loop', async () => (await lag()) < 0.3);
});

test('the memory limit is the lowest one of the control groups around the process', () => {
  const root = tempDir();
  const write = (file: string, text: string): void => {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), text);
  };
  const limit = () => make(systemClock, `${root}/`).values().get('gatecast_memory_limit_bytes');
  expect(limit()).toBe(totalmem());
  write('proc/self/cgroup', '0::/system.slice/gatecast.service\n');
  write('sys/fs/cgroup/system.slice/gatecast.service/memory.max', 'max\n');
  expect(limit()).toBe(totalmem());
  write('sys/fs/cgroup/system.slice/memory.max', '536870912\n');
  expect(limit()).toBe(512 * 2 ** 20);
  write('sys/fs/cgroup/system.slice/gatecast.service/memory.max', '268435456\n');
  expect(limit()).toBe(256 * 2 ** 20);
  // In a container: the group of the process is the root.
  write('proc/self/cgroup', '0::/\n');
  write('sys/fs/cgroup/memory.max', '134217728\n');
  expect(limit()).toBe(128 * 2 ** 20);
});

test('without /proc there are fewer', () => {
  const values = make(systemClock, '/nowhere/').values();
  expect(values.has('process_open_fds')).toBe(false);
  expect(values.get('process_resident_memory_bytes')).toBeGreaterThan(2 ** 20);
});

test.skipIf(!hasPrometheus)('pass the check of promtool', () => {
  expect(promtool(['check', 'metrics'], renderMetrics(make(systemClock).metrics.families()))).toBe('');
  // The check does find what is wrong.
  const bad = renderMetrics([{ name: 'a_total', help: '', type: 'gauge', values: [{ value: 1 }] }]);
  expect(promtool(['check', 'metrics'], bad)).toContain('a_total');
});
