/**
 * Reports the state of the service to systemd (sd_notify): ready, alive, stopping. Node cannot send Unix datagrams,
 * so the `systemd-notify` program does; the unit needs `NotifyAccess=all`, because that program is another process.
 * Does nothing without NOTIFY_SOCKET.
 */
import { execFile } from 'node:child_process';
import type { Clock } from './clock.ts';

export interface Notifier {
  ready(status: string): void;
  status(text: string): void;
  stopping(): void;
  /** Says that the service is alive. */
  watchdog(): void;
  /** Watchdog interval of systemd, ms; null: no watchdog. */
  readonly watchdogMs: number | null;
}

/** @param run starts a program without waiting for it; replaced in tests */
export function systemdNotifier(
  environment: Readonly<Record<string, string | undefined>>,
  run: (file: string, args: readonly string[]) => void = start,
): Notifier {
  if (!environment.NOTIFY_SOCKET) {
    return { ready: () => {}, status: () => {}, stopping: () => {}, watchdog: () => {}, watchdogMs: null };
  }
  const { WATCHDOG_USEC, WATCHDOG_PID } = environment;
  const watched = WATCHDOG_PID === undefined || Number(WATCHDOG_PID) === process.pid;
  const usec = watched ? Number(WATCHDOG_USEC ?? 0) : 0;
  // without --pid, systemd-notify would report its own process
  const send = (...assignments: string[]): void =>
    run('systemd-notify', [`--pid=${process.pid}`, ...assignments]);
  return {
    ready: (status) => send('--ready', `--status=${oneLine(status)}`),
    status: (text) => send(`--status=${oneLine(text)}`),
    stopping: () => send('STOPPING=1'),
    watchdog: () => send('WATCHDOG=1'),
    watchdogMs: usec > 0 ? usec / 1000 : null,
  };
}

/**
 * Feeds systemd's watchdog while the pipeline makes progress. `progress` returns a number that changes while the pipeline
 * runs, even without input: quiet sensors are not a fault, but a hanging stage is, although timers still fire. Returns a
 * function that stops it.
 */
export function startWatchdog(notifier: Notifier, clock: Clock, progress: () => number): () => void {
  const { watchdogMs } = notifier;
  if (watchdogMs === null) return () => {};
  let last = Number.NaN;
  let cancel = (): void => {};
  const look = (): void => {
    const now = progress();
    if (now !== last) notifier.watchdog();
    last = now;
    // as sd_watchdog_enabled(3) advises: at half the time
    cancel = clock.after(watchdogMs / 2, look);
  };
  look();
  return () => cancel();
}

function start(file: string, args: readonly string[]): void {
  const child = execFile(file, [...args], { timeout: 5000 });
  // a missing program must not end the daemon; systemd logs the missing notification
  child.on('error', () => {});
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim();
}
