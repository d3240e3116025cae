import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command, CommanderError } from 'commander';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ProgressBar, secondsText } from '../../src/cli/shared/progress.ts';
import { pieces, readSets, seriesOfSet } from '../../src/cli/train/data.ts';
import type { TrainFlags } from '../../src/cli/train/flags.ts';
import { dataSets } from '../../src/cli/train/job.ts';
import { runTrain } from '../../src/cli/train/run.ts';
import { registerTrain } from '../../src/cli/train/train.ts';
import { ModelRegistry, readModel } from '../../src/model/registry.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'gatecast-train-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Options as the command line gives them. */
async function flagsOf(...args: string[]): Promise<TrainFlags> {
  const program = new Command().exitOverride();
  registerTrain(program);
  const command = program.commands[0]!.exitOverride().configureOutput({ writeErr: () => {} });
  let flags: TrainFlags | undefined;
  command.action((given: TrainFlags) => {
    flags = given;
  });
  await program.parseAsync(['train', ...args], { from: 'user' });
  return flags!;
}

async function train(...args: string[]) {
  const text = { out: '', err: '' };
  const target = (key: 'out' | 'err') => ({
    write: (part: string) => {
      text[key] += part;
    },
  });
  const registry = new ModelRegistry(join(folder, 'data'), null);
  const streams = { out: target('out'), err: target('err') };
  await runTrain(await flagsOf(...args), registry, streams, `gatecast train ${args.join(' ')}`);
  return text;
}

function csv(name: string, n = 24 * 30): string {
  const path = join(folder, name);
  const rows = Array.from({ length: n }, (_, t) => {
    const time = new Date(Date.UTC(2024, 0, 1) + t * 3_600_000).toISOString();
    const hole = t > 300 && t < 320;
    return `${time},${hole ? '' : (20 + 5 * Math.sin((2 * Math.PI * t) / 24)).toFixed(3)},7`;
  });
  writeFileSync(path, `time,warm,flat\n${rows.join('\n')}\n`);
  return path;
}
const small = ['--hidden', '16', '--width', '8', '--steps', '24', '--batch', '8', '--max-steps', '30'];

it('finds the time column of a data file by its name, and counts from a Monday if there is none', async () => {
  const path = csv('named.csv', 80);
  const series = async (...args: string[]) => {
    const [set] = dataSets(
      await flagsOf('--data', path, '--interval', '1h', '--out', folder, ...args),
      () => {},
    );
    return seriesOfSet(set!)[0]!.startMs;
  };
  expect(await series()).toBe(Date.UTC(2024, 0, 1));
  expect(await series('--clock-start', '2021-05-01T00:00:00Z')).toBe(Date.UTC(2021, 4, 1));
  writeFileSync(path, `warm\n${Array.from({ length: 80 }, (_, t) => t % 7).join('\n')}\n`);
  expect(await series()).toBe(Date.UTC(2020, 0, 6));
});

describe('gatecast train', () => {
  it('prints the detected interval, and warns of values that look like marks of a missing value', async () => {
    const path = join(folder, 'marked.csv');
    const values = Array.from({ length: 400 }, (_, t) => (t % 9 === 4 ? -999 : 20 + Math.sin(t / 4)));
    const start = Date.UTC(2024, 0, 1);
    const rows = values.map((value, t) => `${new Date(start + t * 900_000).toISOString()},${value}`);
    writeFileSync(path, `time,warm\n${rows.join('\n')}\n`);
    const out = join(folder, 'models', 'plant');
    const { err } = await train('--data', path, '--out', out, ...small, '--max-steps', '1');
    expect(err).toContain(`--interval 15m: detected from the rows of ${path}\n`);
    const warnings = err.split('\n').filter((line) => line.startsWith('warning: '));
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain(`${path}: -999 occurs 44 times in one column`);
    expect(warnings[0]).toContain('--missing -999');
    const said: string[] = [];
    const say = (text: string): void => void said.push(text);
    const dropped = await flagsOf('--data', path, '--interval', '15m', '--missing', '-999', '--out', folder);
    for (const set of dataSets(dropped, say)) seriesOfSet(set, 1, say);
    expect(said).toEqual([]);
    writeFileSync(
      join(folder, 'sets.yaml'),
      'sets:\n  - { name: m, files: marked.csv, time: time, intervals: 15m }\n',
    );
    for (const set of readSets(join(folder, 'sets.yaml'))) seriesOfSet(set, 1, say);
    expect(said).toEqual([expect.stringContaining('missing: [-999]')]);
  });

  it('trains from a file into a model folder that verifies', async () => {
    const out = join(folder, 'models', 'plant');
    const { out: text } = await train(
      '--data',
      csv('a.csv'),
      '--time',
      'time',
      '--interval',
      '1h',
      '--licence',
      'CC0',
      '--out',
      out,
      ...small,
    );
    expect(text).toMatch(/1 series, 720 buckets; 30 steps/);
    const { manifest } = readModel(out);
    expect(manifest.training).toMatchObject({
      command: expect.stringMatching(/^gatecast train .*--out /),
      steps: 30,
      seed: 1,
      sets: [{ name: 'a', licence: 'CC0', series: 1, steps: 720 }],
    });
    expect(manifest.scores.validation_loss!).toBeLessThanOrEqual(manifest.scores.validation_loss_before!);
    expect(readFileSync(join(out, 'MODEL_CARD.md'), 'utf8')).toContain('| a | 1 | 720 | CC0 |');
    expect(existsSync(`${out}.checkpoint`)).toBe(false);
  });

  it('is the same for the same seed, and starts from another model', async () => {
    const args = (name: string) => [
      '--generated',
      '4',
      '--generated-steps',
      '300',
      '--out',
      join(folder, 'data', name),
      '--json',
      ...small,
    ];
    const first = JSON.parse((await train(...args('one'))).out);
    const second = JSON.parse((await train(...args('two'))).out);
    expect(second.hash).toBe(first.hash);
    await train(...args('three'), '--from', 'one', '--lr', '0.00001');
    const model = readModel(join(folder, 'data', 'three'));
    expect(model.manifest.parent).toBe(first.hash);
    expect(model.manifest.spec?.hidden).toBe(16);
    const wider = JSON.parse(
      (await train(...args('four'), '--from', 'one', '--widen', '32', '--lr', '0.000001')).out,
    );
    expect(readModel(join(folder, 'data', 'four')).manifest.spec?.hidden).toBe(32);
    // Grown, not begun anew: it forecasts as before.
    expect(wider.baseLoss).toBeCloseTo(first.bestLoss, 4);
  });

  it('chooses a network by search, states the reason, and stores finished trials', async () => {
    const out = join(folder, 'models', 'chosen');
    const args = [
      '--data',
      csv('s.csv'),
      '--time',
      'time',
      '--interval',
      '1h',
      '--out',
      out,
      ...small,
      '--search',
      '--search-cells',
      'gru,rnn-tanh',
      '--search-hidden',
      '16',
      '--search-steps',
      '6',
      '--search-rounds',
      '1',
    ];
    const { out: text } = await train(...args);
    expect(text).toMatch(/gru 1x16 at 0.002 +6 +\d\.\d{4} +\d+\.\d\d % +\d+\.\d\d % +\d+ +\d+\.\d\d/);
    expect(text).toMatch(/Of 2 candidates in the last round/);
    expect(readFileSync(`${out}.search.svg`, 'utf8')).toContain('<circle');
    const { manifest } = readModel(out);
    expect(manifest.training?.reason).toMatch(/candidates in the last round/);
    const memory = JSON.parse(readFileSync(`${out}.search.json`, 'utf8'));
    expect(Object.keys(memory.losses)).toHaveLength(6);
    // nothing is trained again, and nothing after the search
    rmSync(out, { recursive: true });
    const { out: again } = await train(...args, '--search-only', '--search-series', '9', '--resume');
    expect(again).toMatch(/Of 2 candidates in the last round/);
    expect(JSON.parse(readFileSync(`${out}.search.json`, 'utf8'))).toEqual(memory);
    expect(existsSync(out)).toBe(false);
  });

  it.each([
    [['--attention', '1'], /attention.memory must be a whole number from 2 to 512, is 1/],
    [['--hidden', '5000'], /hidden must be a whole number from 1 to 1024, is 5000/],
    [['--layers', '5'], /layers must be a whole number from 1 to 4, is 5/],
    [['--dropout', '0.5'], /dropout works between layers, and there is only one/],
    [['--convolution', '1x4'], /convolution.kernel must be a whole number from 2 to 64/],
    [['--steps', '97'], /--steps must be a multiple of --stride: 97 is not a multiple of 4/],
    [['--lr', '0'], /--lr must be above 0/],
    [['--clip-norm', '0'], /--clip-norm must be above 0/],
    [['--generated', '0'], /There are no training data/],
    [
      ['--search-only', '--search-hidden', '16,2000'],
      /hidden must be a whole number from 1 to 1024, is 2000/,
    ],
    [['--search-only', '--search-cells', 'gru,foo'], /cell must be one of rnn-tanh.*, is foo/],
  ])('refuses %j before it reads anything', async (flags, message) => {
    const out = join(folder, 'models', 'wrong');
    await expect(train('--generated', '3', '--out', out, ...flags)).rejects.toThrow(
      expect.objectContaining({ code: 'USAGE', message: expect.stringMatching(message) }),
    );
    expect(existsSync(join(folder, 'models'))).toBe(false);
  });

  it('draws the gradient norm by time lag', async () => {
    const file = join(folder, 'g.svg');
    const { out: text } = await train(
      '--generated',
      '4',
      '--generated-steps',
      '300',
      '--diagnose',
      file,
      ...small,
    );
    expect(text).toMatch(/gru +gradient falls[\s\S]*gru, untrained[\s\S]*rnn-tanh[\s\S]*lstm/);
    expect(readFileSync(file, 'utf8')).toContain('steps back');
  });

  it.each([
    [['--generated', '3'], /--out must name a folder/],
    [['--generated', '3', '--out', 'models/.hidden'], /--out must name a folder/],
    [['--data', 'x.csv', '--out', 'm'], /x\.csv: no such file/],
    [['--generated', '3', '--out', 'm', '--from', 'nothing'], /no model 'nothing'/],
    [['--sets', '/nowhere.yaml', '--out', 'm'], /nowhere/],
    [['--generated', '3', '--out', 'm', '--widen', '32'], /--widen needs --from/],
  ])('%j is refused', async (args, message) => {
    await expect(train(...args)).rejects.toThrow(message);
  });

  it('reports missing training data', async () => {
    await expect(train('--out', join(folder, 'm'), ...small)).rejects.toMatchObject({ code: 'USAGE' });
    expect(existsSync(join(folder, 'm'))).toBe(false);
  });

  it.each([
    ['--hidden', '0'],
    ['--validation', '1'],
    ['--interval', '5 parsecs'],
    ['--cell', 'transformer'],
    ['--convolution', '5'],
    ['--lr', 'fast'],
  ])('refuses %s %s', async (name, value) => {
    await expect(flagsOf(name, value)).rejects.toThrow(CommanderError);
  });
});

describe('files of sets', () => {
  it('uses every interval, rotates the horizons, and resolves paths relative to the file', () => {
    csv('b.csv');
    writeFileSync(
      join(folder, 'sets.yaml'),
      'sets:\n  - { name: b, licence: MIT, files: b.csv, time: time, columns: [warm], intervals: [1h, 2h], horizons: [12, 24], part: [0, 0.5], weight: 2 }\n',
    );
    const [set] = readSets(join(folder, 'sets.yaml'));
    expect(set).toMatchObject({ licence: 'MIT', weight: 2, intervals: [3_600_000, 7_200_000] });
    const series = seriesOfSet(set!);
    expect(series.map((one) => [one.name, one.leads, one.values.length])).toEqual([
      ['b/warm@3600s', 12, 360],
      ['b/warm@7200s', 24, 180],
    ]);
    expect(Number.isNaN(series[0]!.values[310]!)).toBe(true);
  });

  it('reports every wrong key', () => {
    const path = join(folder, 'bad.yaml');
    writeFileSync(
      path,
      'sets:\n  - { name: b, files: b.csv, intervals: often, clock_start: 3/4/2020, colour: red }\n',
    );
    try {
      readSets(path);
      expect.unreachable();
    } catch (error) {
      const { code, issues } = error as { code: string; issues: { path: string; message: string }[] };
      expect(code).toBe('CONFIG_INVALID');
      expect(issues.map((one) => one.path).join(' ')).toContain('intervals');
      expect(issues.map((one) => one.path).join(' ')).toContain('clock_start');
      expect(issues.map((one) => one.message).join(' ')).toContain('colour');
    }
    writeFileSync(path, ': : :\n -');
    expect(() => readSets(path)).toThrow(/bad.yaml/);
  });

  it('refuses a constant data set', () => {
    writeFileSync(
      join(folder, 's.yaml'),
      `sets:\n  - { name: f, files: ${csv('c.csv')}, time: time, columns: [flat], intervals: 1h }\n`,
    );
    expect(() => seriesOfSet(readSets(join(folder, 's.yaml'))[0]!)).toThrow(/no series of at least/);
  });
});

describe('pieces', () => {
  it('splits at long gaps and drops short pieces', () => {
    const actual = new Float64Array(2000).fill(Number.NaN);
    for (let t = 10; t < 200; t++) actual[t] = t;
    for (let t = 900; t < 930; t++) actual[t] = t;
    for (let t = 1500; t < 1700; t += 2) actual[t] = t;
    const found = pieces(actual, [0, 1]);
    expect(found.map(({ from, values }) => [from, values.length])).toEqual([
      [10, 190],
      [1500, 199],
    ]);
    expect(pieces(actual, [0, 0.05]).map(({ values }) => values.length)).toEqual([90]);
  });
});

describe('ProgressBar', () => {
  it('draws over one line on a terminal, and prints few lines elsewhere', () => {
    let text = '';
    const write = (part: string) => {
      text += part;
    };
    const bar = new ProgressBar({ isTTY: true, columns: 60, write }, () => 0);
    bar.update(0.5, 'step 3');
    expect(text).toBe(`\r${'█'.repeat(12)}${'░'.repeat(12)}  50%  step 3`);
    text = '';
    bar.update(1, '');
    expect(text).toBe(`\r${'█'.repeat(24)} 100%  ${' '.repeat('step 3'.length)}`);
    bar.end();
    expect(text.endsWith('\n')).toBe(true);
    text = '';
    let time = 0;
    const plain = new ProgressBar({ write }, () => time);
    for (; time < 25_000; time += 1000) plain.update(time / 25_000, 'x');
    expect(text.trim().split('\n')).toHaveLength(3);
  });

  it('formats durations', () => {
    expect([5, 95, 7300, Number.NaN].map(secondsText)).toEqual(['5 s', '1 min 35 s', '2 h 1 min', '?']);
    expect([59.7, 119.7, 3599.9].map(secondsText)).toEqual(['1 min 0 s', '2 min 0 s', '1 h 0 min']);
  });
});
