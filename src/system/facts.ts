/** Facts about this machine and process from the kernel (Linux); on other systems what Node provides, else null. */
import { readFileSync } from 'node:fs';
import { cpus, freemem, loadavg, totalmem } from 'node:os';
import { entriesOf } from './files.ts';

export interface Facts {
  /** Resident memory of this process, MB. */
  readonly rssMb: number;
  /** Processor time of this process since the previous call, percent of one core. */
  readonly cpuPercent: number;
  /** Load average of the last minute divided by the number of cores. */
  readonly loadPerCore: number;
  /** Hottest sensor, degrees Celsius; null without sensors. */
  readonly temperatureC: number | null;
  readonly memoryAvailableMb: number;
  readonly memoryTotalMb: number;
  readonly cores: number;
}

const MB = 2 ** 20;

/**
 * Each call measures processor time since the previous one.
 * @param options `leastMs`: calls within this time return the previous result; `root`: folder of /proc and /sys
 */
export function factsReader(
  monotonicMs: () => number,
  { leastMs = 0, root = '/' }: { readonly leastMs?: number; readonly root?: string } = {},
): () => Facts {
  let lastAt = monotonicMs();
  let last = process.cpuUsage();
  let facts: Facts | null = null;
  return () => {
    const at = monotonicMs();
    if (facts !== null && at - lastAt < leastMs) return facts;
    const used = process.cpuUsage(last);
    const elapsedUs = Math.max(1, (at - lastAt) * 1000);
    lastAt = at;
    last = process.cpuUsage();
    const cores = cpus().length || 1;
    const memory = readText(`${root}proc/meminfo`);
    facts = {
      // From the kernel: `process.memoryUsage().rss` is 0 under emulation.
      rssMb: residentMb('self', root) ?? process.memoryUsage.rss() / MB,
      cpuPercent: ((used.user + used.system) / elapsedUs) * 100,
      loadPerCore: (loadavg()[0] ?? 0) / cores,
      temperatureC: hottest(root),
      memoryAvailableMb: kilobytes(memory, 'MemAvailable') ?? freemem() / MB,
      memoryTotalMb: kilobytes(memory, 'MemTotal') ?? totalmem() / MB,
      cores,
    };
    return facts;
  };
}

/** Resident memory of a process, MB; null if it has exited or the system has no `/proc`. */
export const residentMb = (pid: number | 'self' | undefined, root = '/'): number | null =>
  kilobytes(readText(`${root}proc/${pid}/status`), 'VmRSS');

/** Bytes written by this thread so far; 0 if the kernel does not count them. */
export function bytesWrittenByThread(): number {
  const found = /^wchar: (\d+)$/m.exec(readText('/proc/thread-self/io'));
  return found === null ? 0 : Number(found[1]);
}

/** Highest temperature of the thermal zones; ignores impossible values. */
function hottest(root: string): number | null {
  let highest: number | null = null;
  const folder = `${root}sys/class/thermal`;
  for (const zone of entriesOf(folder)) {
    if (!zone.startsWith('thermal_zone')) continue;
    const milli = Number(readText(`${folder}/${zone}/temp`).trim() || Number.NaN);
    if (milli > -60_000 && milli < 200_000 && milli / 1000 > (highest ?? -61)) highest = milli / 1000;
  }
  return highest;
}

/** A `Name:  123 kB` line, in MB. */
function kilobytes(text: string, name: string): number | null {
  const found = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text);
  return found === null ? null : Number(found[1]) / 1024;
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
