import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { expect, it, onTestFinished } from 'vitest';
import { computed, recordWork, stopwatch } from './run-delay.ts';
import { sleep, waitFor } from './wait.ts';

it.skipIf(!existsSync('/proc/self/stat'))(
  'a stopwatch stands still while the process is stopped',
  async () => {
    const child = spawn('sleep', ['600']);
    onTestFinished(() => void child.kill('SIGKILL'));
    const watch = stopwatch(child.pid);
    const work = recordWork(child.pid);
    onTestFinished(work.stop);
    await waitFor('time to pass', () => watch.ms() > 50);
    child.kill('SIGSTOP');
    await sleep(100);
    const stoppedMs = watch.ms();
    await sleep(500);
    expect(watch.ms()).toBe(stoppedMs);
    expect(work.longestPauseMs()).toBeGreaterThan(400);
    child.kill('SIGCONT');
    await waitFor('time to pass', () => watch.ms() > stoppedMs + 50);
    const endMs = watch.stop();
    await sleep(50);
    expect(watch.ms()).toBe(endMs);
  },
);

it('a stopwatch leaves out a pause of the machine, and `computed` what is not computed', () => {
  const watch = stopwatch();
  const waiting = () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
  expect(computed(waiting).ms).toBeLessThan(150);
  expect(watch.stop()).toBeLessThan(30);
  const computing = () => {
    const end = process.cpuUsage().user + 60_000;
    while (process.cpuUsage().user < end);
  };
  expect(computed(computing).ms).toBeGreaterThan(50);
});
