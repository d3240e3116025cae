import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FrameWriter } from '../../src/store/journal.ts';
import { Segments } from '../../src/store/segments.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'gatecast-segments-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** How many descriptors of this process are open on files of the folder. */
const openFiles = (): number =>
  readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(`${dir}/samples-`);
    } catch {
      // the descriptor of the listing itself
      return false;
    }
  }).length;

describe.skipIf(process.platform !== 'linux')('Segments', () => {
  it('closes a file once, after the last sync that runs on it', async () => {
    const segments = new Segments(dir);
    segments.append(Buffer.from('frame'), 1);
    expect(openFiles()).toBe(1);
    const syncs = [segments.sync(), segments.sync()];
    segments.abandon();
    expect(openFiles()).toBe(1);
    await Promise.all(syncs);
    expect(openFiles()).toBe(0);
  });

  it('stays open after a sync, and syncs what follows', async () => {
    const segments = new Segments(dir);
    segments.append(Buffer.from('frame'), 1);
    expect(segments.isSynced).toBe(false);
    const running = segments.sync();
    segments.append(Buffer.from('next'), 1);
    await running;
    expect(openFiles()).toBe(1);
    // what was appended during the sync is not part of it
    expect(segments.isSynced).toBe(false);
    await segments.sync();
    expect(segments.isSynced).toBe(true);
    segments.abandon();
    expect(openFiles()).toBe(0);
  });

  it('keeps the newest of two overlapping syncs', async () => {
    const segments = new Segments(dir);
    segments.append(Buffer.from('frame'), 1);
    const first = segments.sync();
    segments.append(Buffer.from('next'), 1);
    segments.syncNow();
    await first;
    expect(segments.isSynced).toBe(true);
    segments.abandon();
  });

  it('removes a file of an earlier process when its last row is dropped, and not its own', () => {
    const former = new Segments(dir);
    const frame = new FrameWriter();
    frame.name(0, 'a');
    for (const timeMs of [1, 2]) frame.sample(0, timeMs, 1, 0);
    former.append(frame.seal(), 2);
    former.close();
    const [formerFile] = readdirSync(dir);
    const segments = new Segments(dir);
    segments.load({}, { sample: () => {}, mark: () => {}, meta: () => {} });
    segments.append(Buffer.from('frame'), 1);
    segments.dropRow();
    expect(readdirSync(dir)).toHaveLength(2);
    segments.dropRow();
    expect(readdirSync(dir)).toHaveLength(1);
    expect(readdirSync(dir)).not.toContain(formerFile);
    segments.dropRow();
    expect(readdirSync(dir)).toHaveLength(1);
    segments.close();
  });
});
