// The systemd unit stays hardened: systemd's own score of it (0 is best, 10 worst; Mosquitto's unit has 9.2).
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { expect, it } from 'vitest';

const missing = spawnSync('systemd-analyze', ['--version']).error !== undefined;
if (missing)
  console.error('SKIPPED: the score of the systemd unit; systemd-analyze is not installed (Debian: systemd)');

const UNITS = ['deploy/systemd/gatecast.service', 'deploy/site/gatecast@.service'];

it.skipIf(missing).each(UNITS)('%s scores at most 1.5 in systemd-analyze security', (unit) => {
  const { stdout, stderr } = spawnSync(
    'systemd-analyze',
    ['security', '--offline=true', '--no-pager', '--threshold=100', unit],
    { encoding: 'utf8' },
  );
  const score = Number(/Overall exposure level for gatecast\S*\.service: ([\d.]+)/.exec(stdout)?.[1]);
  expect(score, stdout + stderr).toBeLessThanOrEqual(1.5);
  // A unit that is not understood would score nothing at all, or ignore the line that was mistyped.
  expect(stderr).toBe('');
});

it.skipIf(missing).each(UNITS)('%s is understood by systemd-analyze verify', (unit) => {
  const dir = mkdtempSync(join(tmpdir(), 'gatecast-unit-'));
  try {
    // The program is not installed here, and a template is verified as one of its instances.
    const text = readFileSync(unit, 'utf8').replace(/^ExecStart=\S+/m, 'ExecStart=/bin/true');
    const file = join(dir, basename(unit).replace('@', '@worker-1'));
    writeFileSync(file, text);
    const verify = (path: string) =>
      spawnSync('systemd-analyze', ['verify', '--man=no', '--recursive-errors=no', path], {
        encoding: 'utf8',
      });
    const { status, stderr } = verify(file);
    expect([status, stderr]).toEqual([0, '']);
    // A key that systemd does not know is noticed.
    writeFileSync(file, text.replace('[Service]', '[Service]\nRestartSecs=5'));
    expect(verify(file).stderr).toMatch(/RestartSecs/);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

const settings = (unit: string, key: string): string[] =>
  [...readFileSync(unit, 'utf8').matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].map(([, value = '']) => value);

it.each(UNITS)('%s goes on if the kernel ends the trainer, which offers its memory first', (unit) => {
  // The trainer sets its own to 1000 (test/fault/trainer.test.ts), which needs no privilege.
  expect(settings(unit, 'OOMPolicy')).toEqual(['continue']);
  expect(Number(settings(unit, 'OOMScoreAdjust')[0] ?? 0)).toBeLessThan(1000);
  // Agent and trainer have some dozen threads each.
  expect(Number(settings(unit, 'TasksMax')[0])).toBeGreaterThanOrEqual(64);
  // The agent talks to the trainer through a socket pair.
  expect(settings(unit, 'RestrictAddressFamilies')[0]).toContain('AF_UNIX');
});

/** System calls of both processes in a training, as traced with strace, and those that end the trainer. */
const CALLS =
  'access brk capget clone clone3 close connect dup2 epoll_create1 epoll_ctl epoll_pwait eventfd2 execve exit_group fcntl flock fsync futex getrandom ioctl kill lseek madvise mkdir mmap mprotect munmap newfstatat openat pipe2 prctl pread64 prlimit64 pwrite64 read readlink recvmsg rename rt_sigaction rt_sigprocmask sched_getaffinity sched_setaffinity sched_yield sendmsg set_robust_list setpriority shutdown socketpair statx sysinfo tgkill uname unlink wait4 write writev'.split(
    ' ',
  );

/** Calls of a filter like `@system-service ~@resources`. */
function systemCalls(filters: readonly string[]): Set<string> {
  const expanded = (name: string): string[] => {
    if (!name.startsWith('@')) return [name];
    const { stdout } = spawnSync('systemd-analyze', ['syscall-filter', name], { encoding: 'utf8' });
    const members = stdout
      .split('\n')
      .slice(1)
      .map((line) => line.trim());
    return members.filter((member) => member !== '' && !member.startsWith('#')).flatMap(expanded);
  };
  const allowed = new Set<string>();
  for (const filter of filters) {
    const isDenied = filter.startsWith('~');
    for (const name of filter.replace('~', '').split(/\s+/))
      for (const call of expanded(name)) {
        if (isDenied) allowed.delete(call);
        else allowed.add(call);
      }
  }
  return allowed;
}

it.skipIf(missing).each(UNITS)('the sandbox of %s lets a trainer start and train', (unit) => {
  const allowed = systemCalls(settings(unit, 'SystemCallFilter'));
  expect(allowed.size).toBeGreaterThan(200);
  expect(allowed).not.toContain('mount');
  expect(CALLS.filter((call) => !allowed.has(call))).toEqual([]);
});
