/** Row 36: a file that never ends where a file is expected is refused within seconds; so is a graph that does not end. */
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/index.ts';
import { importModel } from '../../src/model/import.ts';
import { tryInChild } from '../../src/model/trial.ts';
import { readSecrets } from '../../src/mqtt/options.ts';
import { FEATURES } from '../../src/series/features.ts';
import { readBounded } from '../../src/system/files.ts';
import { stepModel, withEndlessLoop } from '../model/step-models.ts';
import { canRun } from '../support/child.ts';
import { runDelayMs } from '../support/run-delay.ts';
import { tempDirs } from '../support/temp.ts';

const temp = tempDirs();
const FIFO = canRun('mkfifo', ['--version'], 'a pipe that nobody writes to');
const options = { name: 'x', createdMs: 0, cell: null, like: null, features: FEATURES };

/** How long a child takes on this machine that has nothing to do, ms. */
let childMs = 0;
beforeAll(async () => {
  const startMs = performance.now();
  await tryInChild(new Uint8Array(10)).catch(() => {});
  childMs = performance.now() - startMs;
});

/** Without the time in which other processes had the processors, and with more for children of a busy machine. */
async function within<T>(seconds: number, action: () => T | Promise<T>): Promise<unknown> {
  const startMs = performance.now() - runDelayMs();
  const result = await Promise.resolve()
    .then(action)
    .catch((error: unknown) => error);
  expect(performance.now() - runDelayMs() - startMs).toBeLessThan(seconds * 1000 + 5 * childMs);
  return result;
}

function fifo(): string {
  const path = join(temp(), 'pipe.onnx');
  expect(spawnSync('mkfifo', [path]).status).toBe(0);
  return path;
}

const refused = expect.objectContaining({ code: 'FILE_UNREADABLE' });

describe('row 36: a file that never ends', () => {
  it('row 36: /dev/zero as model, password or config', async () => {
    expect(await within(20, () => importModel('/dev/zero', options))).toEqual(refused);
    expect(await within(20, () => loadConfig('/dev/zero'))).toEqual(refused);
    const secrets = { url: 'mqtt://x', clientId: 'x', passwordFile: '/dev/zero' };
    expect(await within(20, () => readSecrets(secrets as Parameters<typeof readSecrets>[0]))).toEqual(
      refused,
    );
  });

  it.skipIf(!FIFO)('row 36: a pipe that nobody writes to, or that nobody closes', async () => {
    const path = fifo();
    expect(await within(20, () => importModel(path, options))).toBeInstanceOf(Error);
    // Opened for reading and writing, which waits for nobody.
    const held = openSync(path, 'r+');
    expect(await within(20, () => readBounded(path, 1000))).toEqual(
      expect.objectContaining({ message: expect.stringContaining('did not end') }),
    );
    closeSync(held);
  });

  it('reads what does end: a file, and a pipe with a writer', () => {
    const path = join(temp(), 'file');
    writeFileSync(path, 'x'.repeat(3_000_000));
    expect(readBounded(path, 3_000_000)).toHaveLength(3_000_000);
    expect(() => readBounded(path, 2_999_999)).toThrow('larger');
    expect(() => readBounded(temp(), 10)).toThrow('folder');
  });
});

describe('row 36: a step model that takes too long or too much', () => {
  it('row 36: is killed with its process', async () => {
    // Runs until it is killed, however long this process looks away.
    const model = withEndlessLoop(stepModel(4, 1));
    const invalid = (text: string) =>
      expect.objectContaining({ code: 'MODEL_INVALID', message: expect.stringContaining(text) });
    expect(await within(20, () => tryInChild(model, { timeMs: 1000, memoryMb: 1024 }))).toEqual(
      invalid('did not end within'),
    );
    expect(await within(20, () => tryInChild(model, { timeMs: 60_000, memoryMb: 10 }))).toEqual(
      invalid('MB of memory'),
    );
    expect(await within(20, () => tryInChild(new Uint8Array(10)))).toEqual(
      expect.objectContaining({ code: 'MODEL_INVALID' }),
    );
  });
});
