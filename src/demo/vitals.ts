/** Readings of this machine: from /proc and /sys where they exist, else from Node. */
import { readFileSync } from 'node:fs';
import { cpus, freemem, loadavg, totalmem } from 'node:os';
import { entriesOf } from '../system/files.ts';

/** One message: its topic below the demo's root, and its numbers by field. The name of a field ends with its unit. */
export interface Reading {
  readonly topic: string;
  readonly values: Readonly<Record<string, number>>;
}

/** Source of the numbers; tests pass their own. */
export interface Machine {
  /** Text of a file; null if it does not exist. */
  read(path: string): string | null;
  /** Names in a folder; empty if it does not exist. */
  list(path: string): readonly string[];
  /** Busy and total time of all cores, ms. */
  cpu(): { busyMs: number; totalMs: number };
  load(): number;
  memory(): { freeBytes: number; totalBytes: number };
}

export const thisMachine: Machine = {
  read(path) {
    try {
      return readFileSync(path, 'utf8');
    } catch {
      return null;
    }
  },
  list: (path) => entriesOf(path).sort(),
  cpu() {
    let busyMs = 0;
    let idleMs = 0;
    for (const { times } of cpus()) {
      busyMs += times.user + times.nice + times.sys + times.irq;
      idleMs += times.idle;
    }
    return { busyMs, totalMs: busyMs + idleMs };
  },
  load: () => loadavg()[0],
  memory: () => ({ freeBytes: freemem(), totalBytes: totalmem() }),
};

/** Counters that only grow: rates are their differences. */
interface Counters {
  readonly atMs: number;
  readonly cpu: { busyMs: number; totalMs: number };
  readonly disk: { readBytes: number; writtenBytes: number } | null;
  readonly network: { inBytes: number; outBytes: number } | null;
}

/** Bytes of whole disks: partitions and stacked devices would count the same bytes again. The kernel's iostats.rst names the columns. */
export function diskBytes(text: string): { readBytes: number; writtenBytes: number } {
  let readBytes = 0;
  let writtenBytes = 0;
  for (const line of text.split('\n')) {
    const column = line.trim().split(/\s+/);
    if (!/^(sd[a-z]+|vd[a-z]+|xvd[a-z]+|hd[a-z]+|nvme\d+n\d+|mmcblk\d+)$/.test(column[2] ?? '')) continue;
    readBytes += Number(column[5]) * 512;
    writtenBytes += Number(column[9]) * 512;
  }
  return { readBytes, writtenBytes };
}

/** Bytes of all interfaces except loopback, which carries the demo's own messages. */
export function networkBytes(text: string): { inBytes: number; outBytes: number } {
  let inBytes = 0;
  let outBytes = 0;
  for (const line of text.split('\n')) {
    const [name, rest] = line.split(':');
    if (rest === undefined || name.trim() === 'lo') continue;
    const column = rest.trim().split(/\s+/);
    inBytes += Number(column[0]);
    outBytes += Number(column[8]);
  }
  return { inBytes, outBytes };
}

/** Degrees Celsius by the sensor's name, without sensors that cannot be read or whose value is impossible. */
export function temperatures(machine: Machine): Record<string, number> {
  const found: Record<string, number> = {};
  const note = (label: string, text: string | null): void => {
    const celsius = text === null ? Number.NaN : Number(text) / 1000;
    const name = label
      .trim()
      .replace(/[^a-zA-Z0-9]+/g, '_')
      .toLowerCase();
    if (name !== '' && celsius > -50 && celsius < 150 && celsius !== 0) found[`${name}_c`] = celsius;
  };
  for (const zone of machine.list('/sys/class/thermal'))
    if (zone.startsWith('thermal_zone')) {
      const path = `/sys/class/thermal/${zone}`;
      note(machine.read(`${path}/type`) ?? zone, machine.read(`${path}/temp`));
    }
  for (const chip of machine.list('/sys/class/hwmon')) {
    const path = `/sys/class/hwmon/${chip}`;
    note(machine.read(`${path}/name`) ?? chip, machine.read(`${path}/temp1_input`));
  }
  return found;
}

const rounded = (value: number): number => Number(value.toFixed(2));

export class Vitals {
  private before: Counters | null = null;

  constructor(private readonly machine: Machine = thisMachine) {}

  /** @param monotonicMs current time; rates are relative to the previous call, and the first call returns none */
  read(monotonicMs: number): Reading[] {
    const { machine } = this;
    const disk = machine.read('/proc/diskstats');
    const network = machine.read('/proc/net/dev');
    const now: Counters = {
      atMs: monotonicMs,
      cpu: machine.cpu(),
      disk: disk === null ? null : diskBytes(disk),
      network: network === null ? null : networkBytes(network),
    };
    const readings = [...this.rates(now), this.memory(), ...this.pressure()];
    const celsius = temperatures(machine);
    if (Object.keys(celsius).length > 0) readings.push({ topic: 'temperature', values: celsius });
    this.before = now;
    return readings;
  }

  private rates(now: Counters): Reading[] {
    const { before } = this;
    const load: Reading = { topic: 'load', values: { load1: rounded(this.machine.load()) } };
    if (before === null || now.atMs <= before.atMs) return [load];
    const seconds = (now.atMs - before.atMs) / 1000;
    const kbPerS = (to: number, from: number): number => rounded(Math.max(0, to - from) / 1000 / seconds);
    const total = now.cpu.totalMs - before.cpu.totalMs;
    const readings: Reading[] = [load];
    if (total > 0) {
      const busy = (100 * (now.cpu.busyMs - before.cpu.busyMs)) / total;
      readings.push({ topic: 'cpu', values: { busy_pct: rounded(busy) } });
    }
    if (now.disk && before.disk)
      readings.push({
        topic: 'disk',
        values: {
          read_kb_s: kbPerS(now.disk.readBytes, before.disk.readBytes),
          write_kb_s: kbPerS(now.disk.writtenBytes, before.disk.writtenBytes),
        },
      });
    if (now.network && before.network)
      readings.push({
        topic: 'network',
        values: {
          in_kb_s: kbPerS(now.network.inBytes, before.network.inBytes),
          out_kb_s: kbPerS(now.network.outBytes, before.network.outBytes),
        },
      });
    return readings;
  }

  private memory(): Reading {
    const info = this.machine.read('/proc/meminfo');
    const kb = (name: string): number | null => {
      const found = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(info ?? '');
      return found ? Number(found[1]) : null;
    };
    const [total, available, cached] = [kb('MemTotal'), kb('MemAvailable'), kb('Cached')];
    if (total === null || available === null) {
      const { totalBytes, freeBytes } = this.machine.memory();
      return { topic: 'memory', values: { used_mb: rounded((totalBytes - freeBytes) / 1e6) } };
    }
    const values: Record<string, number> = { used_mb: rounded(((total - available) * 1024) / 1e6) };
    if (cached !== null) values.cached_mb = rounded((cached * 1024) / 1e6);
    return { topic: 'memory', values };
  }

  /** Share of time in which a task waited for the processor: the kernel's pressure stall information, mean over 10 s. */
  private pressure(): Reading[] {
    const found = /^some avg10=([\d.]+)/m.exec(this.machine.read('/proc/pressure/cpu') ?? '');
    return found ? [{ topic: 'pressure', values: { cpu_wait_pct: Number(found[1]) } }] : [];
  }
}
