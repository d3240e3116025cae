/** The systemd service of the packages. */
import { spawnSync } from 'node:child_process';

const UNIT = 'gatecast.service';

const systemctl = (...words: string[]): { status: number | null; text: string } => {
  const { status, stdout, stderr } = spawnSync('systemctl', words, { encoding: 'utf8', timeout: 150_000 });
  return { status, text: `${stdout ?? ''}${stderr ?? ''}`.trim() };
};

/** Whether this process can start the service. */
export const hasService = (): boolean => process.getuid?.() === 0 && systemctl('cat', UNIT).status === 0;

/** Enables and (re)starts it. @returns what went wrong, or null */
export function startService(): string | null {
  // A drop-in may be new.
  systemctl('daemon-reload');
  const enabled = systemctl('enable', UNIT);
  const started = enabled.status === 0 ? systemctl('restart', UNIT) : enabled;
  return started.status === 0 ? null : started.text || 'systemctl failed';
}
