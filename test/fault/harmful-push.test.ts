/**
 * Valid configs that harm, pushed to a real agent: it crashes at start with one, one reads everything, one makes memory grow.
 * Afterwards the config before runs again, the report says why, and no reading is lost: the forecasts equal those of an agent
 * that got no push.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type Daemon, spawnProgram } from '../support/daemon.ts';
import { hasMosquitto } from '../support/mosquitto.ts';
import { tempDirs } from '../support/temp.ts';
import { Twins } from '../support/twins.ts';
import { waitFor } from '../support/wait.ts';

const tempDir = tempDirs();

/** Crashes the process when it has read a pushed config with this in it, as a broken native library would. */
const CRASH = `
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
const { readFileSync } = fs;
fs.readFileSync = (path, ...rest) => {
  const content = readFileSync(path, ...rest);
  if (/layers-[0-9a-f]{64}\\.json$/.test(String(path)) && content.includes('"max_streams":13')) process.kill(process.pid, 'SIGKILL');
  return content;
};
syncBuiltinESMExports();
`;

/** A program that is started again whenever it ends, as systemd does with \`Restart=on-failure\`. */
function supervise(
  dir: string,
  config: object,
  env: Record<string, string>,
): Daemon & { starts: () => number } {
  const file = join(dir, 'gatecast.json');
  writeFileSync(file, JSON.stringify(config));
  let output = '';
  let starts = 0;
  let stopped = false;
  let daemon: Daemon;
  const start = (): void => {
    starts += 1;
    daemon = spawnProgram(['run', '-c', file], env);
    daemon.process.on('exit', () => {
      output += daemon.output();
      if (!stopped) setTimeout(start, 200);
    });
  };
  start();
  return {
    get process() {
      return daemon.process;
    },
    output: () => output + daemon.output(),
    closed: () => daemon.closed(),
    starts: () => starts,
    end: (signal) => {
      stopped = true;
      return daemon.end(signal);
    },
  };
}

describe.skipIf(!hasMosquitto)('a harmful config', () => {
  let twins: Twins;
  afterEach(() => twins?.close());

  it('that crashes the agent at start is given up at the third start', async () => {
    const dirs = [tempDir(), tempDir()] as const;
    const preload = join(dirs[0], 'crash.mjs');
    writeFileSync(preload, CRASH);
    let supervised: ReturnType<typeof supervise> | undefined;
    twins = await Twins.start({
      dirs,
      startCellar: async (dir, config) => {
        // NOTIFY_SOCKET: it runs under systemd, and a restart is another process.
        supervised = supervise(dir, config, {
          NODE_OPTIONS: `--import ${preload}`,
          NOTIFY_SOCKET: join(dir, 'nobody'),
        });
        await waitFor('the agent', () => supervised?.output().includes(' subscribed '));
        return supervised;
      },
    });
    const from = twins.now;
    const { effective_hash: good } = twins.last;
    await twins.push({ patch: { max_streams: 13 }, probation: '5s' });
    const last = await twins.reported('the rollback', { status: 'rolled_back', version: 1 });
    expect(last).toMatchObject({ code: 500, effective_hash: good, needs: 'restart' });
    expect(last.errors[0]?.text).toContain('was not committed within 3 starts');
    // The first start, two crashes, and the start that goes back.
    expect(supervised?.starts()).toBe(4);
    expect(await twins.compare(from)).toMatchObject({ different: [] });
    expect(supervised?.starts()).toBe(4);
  });

  /** Publishes on many topics that no rule of the file reads, once a second, until the test has run. */
  async function withNoise(topics: number, run: () => Promise<void>): Promise<void> {
    const noise = setInterval(() => {
      for (let at = 0; at < topics; at += 1) twins.watcher.client.publish(`noise/${at}`, String(at % 7));
    }, 1000);
    try {
      await run();
    } finally {
      clearInterval(noise);
    }
  }

  it('that reads everything with # is rolled back when the streams are too many', async () => {
    twins = await Twins.start({ dirs: [tempDir(), tempDir()] });
    const from = twins.now;
    const { effective_hash: good } = twins.last;
    await withNoise(3000, async () => {
      const all = { match: '#', interval: '1s', horizon: '10s' };
      await twins.push({ patch: { streams: { all } }, probation: '30s' });
      const last = await twins.reported('the rollback', { status: 'rolled_back', version: 1 });
      expect(last).toMatchObject({ code: 500, effective_hash: good });
      expect(last.errors[0]?.text).toBe('a new alert was raised: stream-limit');
    });
    expect(await twins.compare(from)).toMatchObject({ different: [] });
    expect(await twins.compare(twins.now)).toMatchObject({ missing: [], different: [] });
  });

  it('that makes memory grow is rolled back', async () => {
    twins = await Twins.start({ dirs: [tempDir(), tempDir()] });
    const from = twins.now;
    const { effective_hash: good } = twins.last;
    await withNoise(20_000, async () => {
      const all = { match: 'noise/#', payload: 'number', interval: '1h', horizon: '1d' };
      await twins.push({ patch: { max_streams: 100_000, streams: { all } }, probation: '60s' });
      const last = await twins.reported('the rollback', { status: 'rolled_back', version: 1 });
      expect(last).toMatchObject({ code: 500, effective_hash: good });
      expect(last.errors[0]?.text).toMatch(/^memory grew from \d+ MB to \d+ MB$/);
    });
    expect(await twins.compare(from)).toMatchObject({ different: [] });
  });
});
