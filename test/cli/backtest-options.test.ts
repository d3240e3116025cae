import { describe, expect, test } from 'vitest';
import { run } from '../support/run.ts';

describe('backtest', () => {
  test.each([
    ['--covariates cannot be used with --compare gaps', '--compare gaps --covariates auto'],
    ['--by cannot be used with --compare gaps', '--compare gaps --by week'],
    ['--cold cannot be used with --compare gaps', '--compare gaps --cold'],
    ['--covariates cannot be used with --cold', '--cold --covariates auto'],
    ['--by cannot be used with --cold', '--cold --by month'],
    ['--out cannot be used with --cold', '--cold --out f.csv'],
    ['--finetune cannot be used with --cold', '--cold --finetune 1d'],
    ['--by cannot be used with --covariates auto', '--covariates auto --by week'],
    ['--inject needs --compare gaps', '--covariates auto --inject 0.1'],
  ])('ignores no option: %s', async (message, options) => {
    const asked = ['none.csv', '--time', 'time', '--interval', '1h', '--horizon', '6'];
    const { code, err } = await run('backtest', ...asked, ...options.split(' '));
    expect(err).toContain(message);
    expect(code).toBe(2);
  });
});
