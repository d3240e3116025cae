/** What the kernel counts of another process. Linux. */
import { readFileSync } from 'node:fs';

/** ms of processor time that the process has used, all its threads. */
export function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

const kilobytes = (pid: number, name: string): number =>
  Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]);

export const residentMb = (pid: number): number => kilobytes(pid, 'VmRSS') / 1024;

/** Most it ever had resident. */
export const peakMb = (pid: number): number => kilobytes(pid, 'VmHWM') / 1024;
