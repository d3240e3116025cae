import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { describe, expect, it, vi } from 'vitest';
import { registerReplay } from '../../../src/cli/replay/replay.ts';
import { fileStem, type ReplayOptions, replay } from '../../../src/cli/replay/run.ts';
import { plainBrokerOptions } from '../../../src/mqtt/options.ts';
import { systemClock } from '../../../src/system/clock.ts';
import { cleanupsOfTest } from '../../support/cleanups.ts';
import { freePort, hasMosquitto, startMosquitto, watch } from '../../support/mosquitto.ts';
import { tempDirs } from '../../support/temp.ts';
import { unloadedClock } from '../../support/unloaded-clock.ts';
import { waitFor } from '../../support/wait.ts';

const temp = tempDirs();
const cleanups = cleanupsOfTest();

function csv(text: string, name = 'pump house.csv'): string {
  const path = join(temp(), name);
  writeFileSync(path, text);
  return path;
}
const ROWS =
  't,id,a,note,b\n2024-01-01 00:00:00,x,1,n,\n2024-01-01 00:00:10,y,2,n,5\n2024-01-01 00:00:20,x,3,n,6\n';

describe.skipIf(!hasMosquitto)('replay', () => {
  async function setUp(options: Partial<ReplayOptions> = {}) {
    const broker = await startMosquitto('allow_anonymous true\nmax_queued_messages 10000');
    cleanups.push(() => broker.stop());
    const eyes = await watch(broker.url, '#');
    cleanups.push(() => eyes.close());
    const run = (more: Partial<ReplayOptions> = {}) =>
      replay({
        file: csv(ROWS),
        table: { time: ['t'], columns: 'all' },
        broker: plainBrokerOptions(broker.url, 'replay'),
        topic: 'replay/{file}',
        speed: Number.POSITIVE_INFINITY,
        qos: 1,
        retain: false,
        from: 0,
        limit: Number.POSITIVE_INFINITY,
        clock: systemClock,
        ...options,
        ...more,
      });
    return { broker, eyes, run };
  }

  it('warns of numbers that look like marks of missing values', async () => {
    const rows = Array.from(
      { length: 20 },
      (_, at) => `2024-01-01 00:00:${10 + at},${at % 4 === 0 ? -200 : at}`,
    );
    const warnings: string[] = [];
    const { run } = await setUp({ warn: (text) => void warnings.push(text) });
    await run({ file: csv(`t,a\n${rows.join('\n')}\n`, 'marks.csv') });
    expect(warnings).toEqual([expect.stringMatching(/-200 occurs 5 times .* --missing -200 drops it/)]);
  });

  it('sends a message a row, without the cells that have no value', async () => {
    const { eyes, run } = await setUp();
    const result = await run();
    expect(result).toMatchObject({ rows: 3, messages: 3, refused: 0 });
    expect(result.leftOut.columns.map((c) => c.name)).toEqual(['id', 'note']);
    await waitFor('them', () => eyes.seen.length === 3);
    expect(eyes.seen.map((m) => [m.topic, JSON.parse(m.text)])).toEqual([
      ['replay/pump house', { a: 1, time: '2024-01-01T00:00:00.000Z' }],
      ['replay/pump house', { a: 2, b: 5, time: '2024-01-01T00:00:10.000Z' }],
      ['replay/pump house', { a: 3, b: 6, time: '2024-01-01T00:00:20.000Z' }],
    ]);
  });

  it('builds topics from ids and columns', async () => {
    const { eyes, run } = await setUp({
      table: { time: ['t'], columns: 'all', id: ['id'] },
      topic: 's/{id}/{column}',
    });
    expect((await run({ from: 1, limit: 1 })).messages).toBe(2);
    await waitFor('them', () => eyes.seen.length === 2);
    expect(eyes.seen.map((m) => [m.topic, m.text])).toEqual([
      ['s/y/a', '2'],
      ['s/y/b', '5'],
    ]);
  });

  it('keeps the pace of the file', async () => {
    const { run } = await setUp();
    const { seconds } = await run({ speed: 50, clock: unloadedClock() });
    expect(seconds).toBeGreaterThan(0.38);
    expect(seconds).toBeLessThan(1.5);
  });

  it('shortens gaps, and jumps of the clock, to --max-wait', async () => {
    const { eyes, run } = await setUp();
    const times = [
      '2001-01-01 00:00:00',
      '2001-01-01 00:00:01',
      '2038-01-01 00:00:00',
      '2001-01-01 00:00:02',
    ];
    const rows = [...times, '2001-01-01 00:00:03', '2001-01-01 00:00:04'].map((time, i) => `${time},${i}`);
    const { seconds } = await run({
      file: csv(`t,v\n${rows.join('\n')}\n`),
      speed: 5,
      maxWaitMs: 200,
      clock: unloadedClock(),
    });
    await waitFor('them', () => eyes.seen.length === 6);
    // Five pauses of 200 ms, less the one before the row that jumps back and what it may catch up with.
    expect(seconds).toBeGreaterThan(0.5);
    expect(seconds).toBeLessThan(10);
  });

  it('sends 10,000 rows in order', async () => {
    const { eyes, run } = await setUp();
    const text = Array.from({ length: 10_000 }, (_, i) => `${i},${i}`).join('\n');
    await run({ file: csv(`t,v\n${text}\n`) });
    await waitFor('them', () => eyes.seen.length === 10_000);
    expect(eyes.seen.every((m, i) => JSON.parse(m.text).v === i)).toBe(true);
  });

  it('fails when the broker goes', async () => {
    const { broker, run } = await setUp();
    const running = run({ speed: 10, progress: () => broker.signal('SIGKILL') });
    await expect(running).rejects.toMatchObject({ code: 'BROKER_UNREACHABLE' });
  });

  it.each(['s/+/{file}', '{id}/{nope}', 'a//b', ''])('refuses the topic %j', async (topic) => {
    const { run } = await setUp();
    await expect(run({ topic })).rejects.toMatchObject({ code: 'USAGE' });
  });

  it('runs from the command line', async () => {
    const { broker, eyes } = await setUp();
    const program = new Command().exitOverride();
    registerReplay(program);
    const out = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
    cleanups.push(() => out.mockRestore());
    const file = csv('Date;Time;a\n13/03/2004;18.00.00;-200\n13/03/2004;19.00.00;1,5\n', 'x.csv');
    const args = [
      '--time',
      'Date,Time',
      '--missing',
      '-200',
      '--speed',
      'max',
      '--json',
      '--broker',
      broker.url,
    ];
    await program.parseAsync(['replay', file, ...args], { from: 'user' });
    expect(JSON.parse(String(out.mock.calls.at(-1)![0]))).toMatchObject({ rows: 2, messages: 2 });
    await waitFor('them', () => eyes.on('replay/x').length === 2);
    expect(JSON.parse(eyes.on('replay/x')[1]!.text)).toEqual({ a: 1.5, time: '2004-03-13T19:00:00.000Z' });
  });
});

it('says when there is no broker', async () => {
  const url = `mqtt://127.0.0.1:${await freePort()}`;
  const program = new Command().exitOverride();
  registerReplay(program);
  const running = program.parseAsync(['replay', csv(ROWS), '--time', 't', '--broker', url], { from: 'user' });
  await expect(running).rejects.toMatchObject({ code: 'BROKER_UNREACHABLE' });
});

it('takes the name of the file without its endings', () => {
  expect(fileStem('/data/ETTh1.csv.gz')).toBe('ETTh1');
  expect(fileStem('a.b.CSV')).toBe('a.b');
});
