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

/** The process and its children. */
const family = (pid: number): number[] => [
  pid,
  ...readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
];

/** ms of processor time of the process and its children, ended ones included. */
export function familyCpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  const ended = (Number(fields[13]) + Number(fields[14])) * 10;
  return family(pid).reduce((sum, one) => sum + orZero(() => cpuMs(one)), ended);
}

/** Memory of the process and its children, MB; pages that they share count once. */
export const familyMb = (pid: number): number =>
  family(pid).reduce(
    (sum, one) =>
      sum +
      orZero(
        () => Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${one}/smaps_rollup`, 'utf8'))?.[1]) / 1024,
      ),
    0,
  );

/** Most memory of the process and its children until `stop`, looked at ten times a second. */
export function watchMemory(pid: number): { stop(): number } {
  let most = 0;
  const timer = setInterval(() => {
    most = Math.max(
      most,
      orZero(() => familyMb(pid)),
    );
  }, 100);
  return {
    stop: () => {
      clearInterval(timer);
      return most;
    },
  };
}

/** A child may end between two looks. */
function orZero(read: () => number): number {
  try {
    return read();
  } catch {
    return 0;
  }
}

/** Bytes that the process caused to be written to the disk: pages of 4 kB. */
export const blockBytes = (pid: number): number =>
  Number(/^write_bytes: (\d+)/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1]);
