import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { DEGRADING, type DropReason } from '../../src/agent/drops.ts';
import { hasPrometheus, promtool } from '../support/prometheus.ts';

const ROOT = new URL('../..', import.meta.url).pathname;
const RULES = join(ROOT, 'deploy/prometheus/gatecast.rules.yml');

describe.skipIf(!hasPrometheus)('the files for Prometheus', () => {
  test('are valid', () => {
    expect(promtool(['check', 'rules', RULES])).toBe('');
    expect(promtool(['check', 'config', join(ROOT, 'deploy/prometheus/prometheus.yml')])).toBe('');
  });

  test('raise every alert where they should, and none at a healthy gateway', () => {
    expect(promtool(['test', 'rules', join(ROOT, 'test/deploy/prometheus-rules.yml')])).toBe('');
  });
});

/** Degrading drops by which no wanted data is lost, or which have an alert of their own. */
const NO_LOSS: readonly DropReason[] = ['absurd-time', 'future', 'refused-out', 'oversize-in'];

test('the alert about lost data names all reasons for which data is lost', () => {
  const [, reasons = ''] = /reason=~"([^"]+)"/.exec(readFileSync(RULES, 'utf8')) ?? [];
  expect(reasons.split('|').sort()).toEqual([...DEGRADING].filter((one) => !NO_LOSS.includes(one)).sort());
});
