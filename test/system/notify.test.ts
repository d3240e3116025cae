import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { startWatchdog, systemdNotifier } from '../../src/system/notify.ts';
import { FakeClock } from '../support/fake-clock.ts';

function recorder(environment: Record<string, string>) {
  const calls: string[] = [];
  const notifier = systemdNotifier(environment, (file, args) => calls.push([file, ...args].join(' ')));
  return { notifier, calls };
}

describe('systemdNotifier', () => {
  it('is silent without systemd', () => {
    const { notifier, calls } = recorder({});
    notifier.ready('x');
    notifier.watchdog();
    notifier.stopping();
    expect(calls).toEqual([]);
    expect(notifier.watchdogMs).toBeNull();
  });

  it('speaks for this process', () => {
    const { notifier, calls } = recorder({ NOTIFY_SOCKET: '/run/x', WATCHDOG_USEC: '30000000' });
    notifier.ready('3 streams\nready');
    notifier.stopping();
    expect(calls).toEqual([
      `systemd-notify --pid=${process.pid} --ready --status=3 streams ready`,
      `systemd-notify --pid=${process.pid} STOPPING=1`,
    ]);
    expect(notifier.watchdogMs).toBe(30_000);
  });

  it("leaves another process's watchdog alone", () => {
    const { notifier } = recorder({ NOTIFY_SOCKET: '/run/x', WATCHDOG_USEC: '30000000', WATCHDOG_PID: '1' });
    expect(notifier.watchdogMs).toBeNull();
  });
});

describe('startWatchdog', () => {
  it('is fed by rounds of the pipeline, not by timers', () => {
    const { notifier, calls } = recorder({ NOTIFY_SOCKET: '/run/x', WATCHDOG_USEC: '10000000' });
    const clock = new FakeClock();
    let rounds = 0;
    const stop = startWatchdog(notifier, clock, () => rounds);
    expect(calls.length).toBe(1);
    for (let i = 0; i < 3; i++) {
      rounds++;
      clock.advance(5000);
    }
    expect(calls.length).toBe(4);
    clock.advance(60_000);
    expect(calls.length).toBe(4);
    rounds++;
    clock.advance(5000);
    expect(calls.length).toBe(5);
    stop();
    rounds++;
    clock.advance(60_000);
    expect(calls.length).toBe(5);
  });
});

it('the program takes these arguments', () => {
  let known = true;
  try {
    execFileSync('systemd-notify', ['--version']);
  } catch {
    known = false;
    console.warn('SKIPPED: systemd-notify is not installed');
  }
  // with no one listening it says so, but a wrong option would end with 1 and another message
  if (known) {
    const run = () =>
      execFileSync('systemd-notify', [`--pid=${process.pid}`, '--ready', '--status=x'], {
        env: { ...process.env, NOTIFY_SOCKET: '/nowhere' },
        stdio: 'pipe',
      });
    expect(run).toThrow(/No such file/);
  }
});
