// The systemd unit stays hardened: systemd's own score of it (0 is best, 10 worst; Mosquitto's unit has 9.2).
import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';

const unit = 'deploy/systemd/gatecast.service';
const missing = spawnSync('systemd-analyze', ['--version']).error !== undefined;
if (missing)
  console.error('SKIPPED: the score of the systemd unit; systemd-analyze is not installed (Debian: systemd)');

it.skipIf(missing)('scores at most 1.5 in systemd-analyze security', () => {
  const { stdout, stderr } = spawnSync(
    'systemd-analyze',
    ['security', '--offline=true', '--no-pager', '--threshold=100', unit],
    { encoding: 'utf8' },
  );
  const score = Number(/Overall exposure level for gatecast\.service: ([\d.]+)/.exec(stdout)?.[1]);
  expect(score, stdout + stderr).toBeLessThanOrEqual(1.5);
  // A unit that is not understood would score nothing at all, or ignore the line that was mistyped.
  expect(stderr).toBe('');
});
