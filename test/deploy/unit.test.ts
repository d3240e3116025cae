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
