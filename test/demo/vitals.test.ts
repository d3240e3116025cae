import { describe, expect, test } from 'vitest';
import { HOLES_TOPIC, VitalsPublisher } from '../../src/demo/publish.ts';
import {
  diskBytes,
  type Machine,
  networkBytes,
  temperatures,
  thisMachine,
  Vitals,
} from '../../src/demo/vitals.ts';
import { FakeClock } from '../support/fake-clock.ts';

const MEMINFO =
  'MemTotal:       1000000 kB\nMemFree:   100000 kB\nMemAvailable:  400000 kB\nCached:  250000 kB\n';
const disk = (read: number, written: number) =>
  ` 259 0 nvme0n1 10 0 ${read} 5 20 0 ${written} 7 0 0 0\n 259 1 nvme0n1p1 10 0 999 5 20 0 999 7 0 0 0\n 7 0 loop0 1 0 9 0 0 0 9 0 0 0 0\n`;
const net = (bytesIn: number, bytesOut: number) =>
  `Inter-| Receive | Transmit\n face |bytes\n lo: 5555 1 0 0 0 0 0 0 5555 1 0 0 0 0 0 0\n  eth0:${bytesIn} 1 0 0 0 0 0 0 ${bytesOut} 1 0 0 0 0 0 0\n`;

const fake = (files: Record<string, string>, cpu = { busyMs: 0, totalMs: 0 }): Machine => ({
  read: (path) => files[path] ?? null,
  list: (path) => [
    ...new Set(
      Object.keys(files)
        .filter((file) => file.startsWith(`${path}/`))
        .map((file) => file.slice(path.length + 1).split('/')[0]!),
    ),
  ],
  cpu: () => ({ ...cpu }),
  load: () => 0.5,
  memory: () => ({ freeBytes: 1e9, totalBytes: 4e9 }),
});

describe('parsing', () => {
  test('disks: whole ones only, in bytes', () => {
    expect(diskBytes(disk(100, 8))).toEqual({ readBytes: 51_200, writtenBytes: 4096 });
  });
  test('network: without loopback', () => {
    expect(networkBytes(net(1000, 200))).toEqual({ inBytes: 1000, outBytes: 200 });
  });
  test('temperatures: named after the sensor, nonsense left out', () => {
    const machine = fake({
      '/sys/class/thermal/thermal_zone0/type': 'cpu-thermal\n',
      '/sys/class/thermal/thermal_zone0/temp': '48312\n',
      '/sys/class/thermal/thermal_zone1/type': 'broken',
      '/sys/class/thermal/thermal_zone1/temp': '-273000',
      '/sys/class/thermal/cooling_device0/type': 'fan',
      '/sys/class/hwmon/hwmon0/name': 'nvme',
      '/sys/class/hwmon/hwmon0/temp1_input': '36850',
    });
    expect(temperatures(machine)).toEqual({ cpu_thermal_c: 48.312, nvme_c: 36.85 });
  });
});

describe('Vitals', () => {
  test('rates from differences, over the time that really passed', () => {
    const files: Record<string, string> = {
      '/proc/meminfo': MEMINFO,
      '/proc/diskstats': disk(100, 8),
      '/proc/net/dev': net(1000, 200),
      '/proc/pressure/cpu': 'some avg10=3.25 avg60=1 avg300=1 total=1\n',
    };
    const cpu = { busyMs: 1000, totalMs: 8000 };
    const vitals = new Vitals(fake(files, cpu));
    expect(vitals.read(0).map((r) => r.topic)).toEqual(['load', 'memory', 'pressure']);
    files['/proc/diskstats'] = disk(200, 8);
    files['/proc/net/dev'] = net(5000, 1200);
    Object.assign(cpu, { busyMs: 1500, totalMs: 10_000 });
    const readings = Object.fromEntries(vitals.read(2000).map((r) => [r.topic, r.values]));
    expect(readings).toEqual({
      load: { load1: 0.5 },
      cpu: { busy_pct: 25 },
      disk: { read_kb_s: 25.6, write_kb_s: 0 },
      network: { in_kb_s: 2, out_kb_s: 0.5 },
      memory: { used_mb: 614.4, cached_mb: 256 },
      pressure: { cpu_wait_pct: 3.25 },
    });
  });

  test('without /proc it still tells cpu, load and memory', () => {
    const vitals = new Vitals(fake({}));
    vitals.read(0);
    expect(vitals.read(1000)).toEqual([
      { topic: 'load', values: { load1: 0.5 } },
      { topic: 'memory', values: { used_mb: 3000 } },
    ]);
  });

  test('this machine: finite numbers, cpu between 0 and 100', async () => {
    const vitals = new Vitals(thisMachine);
    vitals.read(performance.now());
    await new Promise((resolve) => setTimeout(resolve, 120));
    const readings = vitals.read(performance.now());
    for (const { values } of readings)
      for (const value of Object.values(values)) expect(Number.isFinite(value)).toBe(true);
    const cpu = readings.find((r) => r.topic === 'cpu')!.values;
    expect(cpu.busy_pct).toBeGreaterThanOrEqual(0);
    expect(cpu.busy_pct).toBeLessThanOrEqual(100);
    expect(readings.find((r) => r.topic === 'memory')!.values.used_mb).toBeGreaterThan(10);
  });
});

const bound = (clock: FakeClock) => ({ now: () => clock.now(), monotonic: () => clock.monotonic() });

test('publishes once a second, and the stream with holes falls silent now and then', () => {
  const clock = new FakeClock(Date.UTC(2025, 0, 1, 0, 0, 0, 400));
  const cpu = { busyMs: 0, totalMs: 0 };
  const sent: { topic: string; atMs: number }[] = [];
  const publisher = new VitalsPublisher({
    clock,
    machine: fake({}, cpu),
    publish: (topic) => sent.push({ topic, atMs: clock.now() }),
  });
  publisher.start();
  for (let second = 0; second < 200; second++) {
    Object.assign(cpu, { busyMs: cpu.busyMs + 300, totalMs: cpu.totalMs + 2000 });
    clock.advance(1000);
  }
  publisher.stop();
  clock.advance(5000);
  const seconds = sent.filter((s) => s.topic === 'vitals/load').map((s) => Math.floor(s.atMs / 1000));
  expect(seconds).toHaveLength(200);
  expect(new Set(seconds).size).toBe(200);
  const holes = sent.filter((s) => s.topic === HOLES_TOPIC).map((s) => Math.floor(s.atMs / 1000));
  const gaps = holes.slice(1).map((s, i) => s - holes[i]! - 1);
  expect(gaps.filter((g) => g > 0)).toEqual([10, 6, 10, 6]);
});

test('a timer that fires early does not make two readings of one second', () => {
  const clock = new FakeClock(Date.UTC(2025, 0, 1, 0, 0, 0, 400));
  const early = {
    ...bound(clock),
    after: (ms: number, callback: () => void) => clock.after(Math.max(0, ms - 2), callback),
  };
  const sent: string[] = [];
  const publisher = new VitalsPublisher({
    clock: early,
    machine: fake({}),
    publish: (topic) => sent.push(topic),
  });
  publisher.start();
  clock.advance(100_000);
  publisher.stop();
  expect(sent.filter((topic) => topic === 'vitals/load').length).toBeLessThanOrEqual(100);
});
