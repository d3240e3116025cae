// The control of a run of fine-tuning, with a training that ends at once.
import { expect, it } from 'vitest';
import type { CycleReport } from '../../src/training/cycle.ts';
import type { RunReport } from '../../src/training/run-report.ts';
import { TuningRun } from '../../src/training/tuning-run.ts';

const REFUSED: CycleReport = {
  status: 'refused',
  reason: 'no better',
  verdict: null,
  candidate: null,
  streams: 1,
  leftOut: [],
  training: null,
};

function runOf(tell: (report: RunReport) => void | Promise<void>): TuningRun<string> {
  return new TuningRun<string>({
    nowMs: () => 1,
    start: () => ({
      result: Promise.resolve(REFUSED),
      stop: () => {},
      pause: () => {},
      resume: () => {},
      kill: () => Promise.resolve(),
    }),
    tell,
    isOver: () => false,
  });
}

it('a pause while the end is reported does not replace the report of the end', async () => {
  const told: string[] = [];
  const run: TuningRun<string> = runOf(async ({ status }) => {
    if (status === 'refused') await run.follow({ type: 'pause', reason: 'load' });
    told.push(status);
  });
  expect(
    await run.run(
      'schedule',
      0,
      () => 'input',
      () => Promise.resolve(),
    ),
  ).toBe('refused');
  expect(told).toEqual(['running', 'refused']);
});

it.each(['running', 'refused'])(
  'a run whose report (%s) cannot be stored ends, and the next one begins',
  async (status) => {
    let broken = true;
    const run = runOf((report) => {
      if (broken && (report.status === status || report.status === 'failed')) throw new Error('disk full');
    });
    const once = () =>
      run.run(
        'schedule',
        0,
        () => 'input',
        () => Promise.resolve(),
      );
    expect(await once()).toBe('failed');
    broken = false;
    expect(await once()).toBe('refused');
  },
);
