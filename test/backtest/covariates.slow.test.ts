import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { findCovariates, foundText } from '../../src/backtest/find-covariates.ts';
import { runBacktest } from '../../src/backtest/run.ts';
import { hourlyBacktest } from '../support/backtest.ts';
import { normal, uniform } from '../support/random.ts';
import { tempDirs } from '../support/temp.ts';

const temp = tempDirs();
const HOUR = 3_600_000;
const STEPS = 1600;
const LEAD = 4;

/** A target that follows `driver` four steps later and `tariff` at once; and `noise` that has nothing to do with it. */
function write(): string {
  const next = uniform(1);
  const shock = normal(2);
  const rows = ['time,target,driver,noise,tariff'];
  const driver: number[] = [];
  let [level, other, tariff] = [0, 0, 0];
  for (let t = 0; t < STEPS; t++) {
    level = 0.9 * level + shock();
    other = 0.9 * other + shock();
    driver.push(level);
    if (next() < 0.2) tariff = 1 - tariff;
    const value = 20 + (driver[t - LEAD] ?? 0) + 2 * tariff + 0.2 * shock();
    const time = new Date(Date.UTC(2024, 0, 1) + t * HOUR).toISOString();
    // A gap in the driver now and then.
    rows.push([time, value, t % 50 === 49 ? '' : level, other, tariff].join(','));
  }
  const file = join(temp(), 'pair.csv');
  writeFileSync(file, `${rows.join('\n')}\n`);
  return file;
}

interface Scored {
  readonly series: readonly { readonly series: string; readonly sql: number }[];
}

const REQUEST = hourlyBacktest();

async function scored(
  file: string,
  change: { columns: 'all' | string[]; covariates?: string[]; known?: string[] },
) {
  return JSON.parse(await runBacktest([file], { ...REQUEST, ...change })) as Scored;
}

describe('covariates that are found automatically', () => {
  it('are the columns that improve the forecasts, and no others', async () => {
    const found = await findCovariates([write()], { ...REQUEST, known: ['tariff'] });
    expect(found.map(({ series, covariates }) => [series, covariates])).toEqual([
      ['target', ['driver']],
      ['driver', []],
      ['noise', []],
    ]);
    const [target, driver] = found;
    expect(target!.with).toBeLessThan(0.9 * target!.without);
    expect(driver!.tried).toEqual([]);
    expect(driver!.with).toBe(driver!.without);
    const text = foundText(found);
    expect(text).toMatch(/^target .* -\d+\.\d % {2}driver$/m);
    expect(text).toMatch(/^noise .* - {2}none$/m);
  });

  it('need one file', async () => {
    await expect(findCovariates(['a.csv', 'b.csv'], REQUEST)).rejects.toThrow(/needs one file/);
  });
});

describe('a backtest with covariates', () => {
  const file = write();
  const columns = ['target'];
  const sql = async (change: { covariates?: string[]; known?: string[] }): Promise<number> =>
    (await scored(file, { columns, ...change })).series[0]?.sql ?? Number.NaN;

  it('gains much by a column that leads, and by one that is known ahead', async () => {
    const alone = await sql({});
    expect((await sql({ covariates: ['driver'] })) / alone).toBeLessThan(0.9);
    expect((await sql({ known: ['tariff'] })) / alone).toBeLessThan(0.9);
    expect((await sql({ covariates: ['driver'], known: ['tariff'] })) / alone).toBeLessThan(0.7);
  });

  it('loses almost nothing with an uninformative column', async () => {
    expect((await sql({ covariates: ['noise'] })) / (await sql({}))).toBeLessThan(1.02);
  });

  it('scores the columns asked for, and of all of them those that are not known ahead', async () => {
    const names = ({ series }: Scored): string[] => series.map((one) => one.series);
    expect(names(await scored(file, { columns, covariates: ['driver'], known: ['tariff'] }))).toEqual(
      columns,
    );
    expect(names(await scored(file, { columns: 'all', covariates: ['driver'], known: ['tariff'] }))).toEqual([
      'target',
      'driver',
      'noise',
    ]);
  });

  it('names the columns there are where one is not', async () => {
    await expect(scored(file, { columns: 'all', covariates: ['nothing'] })).rejects.toThrow(/nothing/);
  });
});
