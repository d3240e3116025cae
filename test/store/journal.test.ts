import { readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { FrameWriter, MAGIC, readJournal } from '../../src/store/journal.ts';
import type { StoreFault } from '../../src/store/sqlite-store.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { uniform } from '../support/random.ts';
import { openStore } from '../support/stores.ts';
import { tempDirs } from '../support/temp.ts';

const T0 = Date.UTC(2025, 0, 1);
const temp = tempDirs();

/** Everything that a journal holds, as lines. */
function linesOf(content: Buffer, from = 0) {
  const lines: string[] = [];
  const damaged = readJournal(content, from, {
    sample: (stream, timeMs, value, mark) => lines.push(`${stream} ${timeMs} ${value} ${mark}`),
    mark: (stream, { fromMs, toMs, marks }) => lines.push(`mark ${stream} ${fromMs} ${toMs} ${marks}`),
    meta: (key, value) => lines.push(`${key}=${value}`),
  });
  return { lines, damaged };
}

function frame(fill: (writer: FrameWriter) => void): Buffer {
  const writer = new FrameWriter();
  fill(writer);
  return Buffer.from(writer.seal());
}

describe('a record', () => {
  it('is read as it was written, for any time, order, value and mark', () => {
    const random = uniform(3);
    const expected: string[] = [];
    const sealed = frame((writer) => {
      writer.name(7, 'söt/ünd');
      writer.name(70_000, 'b');
      for (let i = 0; i < 2000; i++) {
        const id = i % 2 ? 7 : 70_000;
        const timeMs = Math.floor((random() - 0.1) * 4e12) * (i % 3 ? 1 : -1);
        const value = (random() - 0.5) * 10 ** Math.floor(random() * 600 - 300);
        const mark = i % 5 ? 0 : Math.floor(random() * 256);
        writer.sample(id, timeMs, value, mark);
        expected.push(`${id === 7 ? 'söt/ünd' : 'b'} ${timeMs} ${value} ${mark}`);
      }
      writer.mark(7, { fromMs: T0 + 0.5, toMs: Number.POSITIVE_INFINITY, marks: 255 });
      writer.meta('k', 'ä'.repeat(10_000));
    });
    expected.push(`mark söt/ünd ${T0 + 0.5} Infinity 255`, `k=${'ä'.repeat(10_000)}`);
    expect(linesOf(Buffer.concat([MAGIC, sealed]))).toEqual({ lines: expected, damaged: [] });
  });

  it('of one stream a second takes 13 bytes', () => {
    const sealed = frame((writer) => {
      writer.sample(3, T0, 21.37, 0);
      for (let i = 1; i <= 100; i++) writer.sample(3, T0 + i * 1000, 21.37, 0);
    });
    expect(sealed.length).toBeLessThan(17 + 10 + 100 * 13);
  });
});

/** Four frames of ten samples; the stream is named in the first two. */
const frames = [0, 1, 2, 3].map((n) =>
  frame((writer) => {
    if (n < 2) writer.name(0, 'a');
    for (let i = 0; i < 10; i++) writer.sample(0, T0 + (n * 10 + i) * 1000, n * 10 + i, 0);
  }),
);

describe('a damaged journal (faults.md row 6)', () => {
  const whole = Buffer.concat([MAGIC, ...frames]);
  const starts = frames.map((_, n) => MAGIC.length + Buffer.concat(frames.slice(0, n)).length);

  it('loses only the frame of a flipped bit, wherever the bit is', () => {
    for (let at = MAGIC.length; at < whole.length; at++) {
      const content = Buffer.from(whole);
      content[at] = (content[at] ?? 0) ^ (1 << (at % 8));
      const hit = starts.filter((start) => start <= at).length - 1;
      const { lines, damaged } = linesOf(content);
      const values = lines.map((line) => Number(line.split(' ')[2]));
      expect(values, `bit at ${at}`).toEqual(
        Array.from({ length: 40 }, (_, i) => i).filter((i) => Math.floor(i / 10) !== hit),
      );
      expect(damaged).toHaveLength(1);
      expect(damaged[0]?.at).toBe(starts[hit]);
      expect(damaged[0]?.bytes.length).toBe(frames[hit]?.length);
    }
  });

  it('is read although its first bytes are wrong, cut off or missing', () => {
    const garbled = Buffer.from(whole);
    garbled[2] = 0;
    expect(linesOf(garbled)).toMatchObject({ lines: { length: 40 }, damaged: [{ at: 0 }] });
    expect(linesOf(whole.subarray(0, whole.length - 3))).toMatchObject({
      lines: { length: 30 },
      damaged: [{ at: starts[3] }],
    });
    expect(linesOf(Buffer.alloc(0))).toEqual({ lines: [], damaged: [] });
    expect(linesOf(Buffer.alloc(5000))).toMatchObject({ lines: [], damaged: [{ at: 0 }] });
  });

  it('rejects a frame with a valid checksum and impossible records', () => {
    const good = (fill: (writer: FrameWriter) => void): Buffer =>
      Buffer.concat([MAGIC, frames[0] ?? '', frame(fill), frames[1] ?? ''] as Buffer[]);
    const unknownKind = frame((writer) => writer.sample(0, T0, 1, 0));
    const bad = [
      good((writer) => writer.sample(0, T0, Number.NaN, 0)),
      good((writer) => writer.sample(0, T0, Number.POSITIVE_INFINITY, 0)),
      good((writer) => writer.sample(0, 2 ** 60, 1, 0)),
      good((writer) => writer.mark(0, { fromMs: Number.NaN, toMs: T0, marks: 1 })),
      good((writer) => writer.name(5, '')),
      good((writer) => writer.sample(99, T0, 1, 0)),
    ];
    // A text that claims one byte more than is left.
    const meta = frame((writer) => writer.meta('k', 'abc'));
    const claimsMore = resealed(meta, (payload) => {
      expect(payload.readUInt32LE(4)).toBe(3);
      payload.writeUInt32LE(4, 4);
    });
    bad.push(Buffer.concat([MAGIC, frames[0] ?? meta, claimsMore, frames[1] ?? meta]));
    // A kind of a later version, with a checksum that holds.
    for (const kind of [0, 7, 200]) {
      const later = resealed(unknownKind, (payload) => {
        payload[0] = kind;
      });
      bad.push(Buffer.concat([MAGIC, frames[0] ?? later, later, frames[1] ?? later]));
    }
    for (const content of bad) {
      const { lines, damaged } = linesOf(content);
      expect(lines).toHaveLength(20);
      expect(damaged).toHaveLength(1);
    }
  });

  it('loses only its last frame if it is cut anywhere in it', () => {
    const start = starts[3] ?? 0;
    for (let end = start + 1; end < whole.length; end++) {
      const { lines, damaged } = linesOf(whole.subarray(0, end));
      expect(lines, `cut at ${end}`).toHaveLength(30);
      expect(damaged.map(({ at, bytes }) => [at, bytes.length])).toEqual([[start, end - start]]);
    }
  });

  it('is read from where the database ends', () => {
    expect(linesOf(whole, starts[2]).lines).toHaveLength(20);
    expect(linesOf(whole, whole.length)).toEqual({ lines: [], damaged: [] });
  });
});

it('of version 1 is read around a run of zeros and a frame with an impossible record', () => {
  const payload = (fill: (writer: FrameWriter) => void) => frame(fill).subarray(10);
  const sample = Buffer.alloc(22);
  sample[0] = 2;
  sample.writeDoubleLE(T0, 5);
  sample.writeDoubleLE(1.5, 13);
  const sealed = (content: Buffer) => {
    const head = Buffer.alloc(8);
    head.writeUInt32LE(content.length, 0);
    head.writeUInt32LE(crc32(content), 4);
    return Buffer.concat([head, content]);
  };
  const first = Buffer.concat([
    Buffer.from('GCJRNL1\n'),
    sealed(Buffer.concat([payload((writer) => writer.name(0, 'a')), sample])),
  ]);
  // A power cut leaves zeros, which look like frames without content.
  const bad = Buffer.concat([Buffer.alloc(100), sealed(sample.subarray(0, 21))]);
  const { lines, damaged } = linesOf(Buffer.concat([first, bad, sealed(sample)]));
  expect(lines).toEqual([`a ${T0} 1.5 0`, `a ${T0} 1.5 0`]);
  expect(damaged).toEqual([{ at: first.length, bytes: bad }]);
});

/** The frame with another payload and a checksum that holds, made the way the format says. */
function resealed(sealed: Buffer, change: (payload: Buffer) => void): Buffer {
  const writer = new FrameWriter();
  const copy = Buffer.from(sealed);
  change(copy.subarray(10));
  // The writer's own checksum of the same bytes.
  const own = writer as unknown as { buffer: Buffer; length: number };
  copy.copy(own.buffer);
  own.length = copy.length;
  return Buffer.from(writer.seal());
}

function open(dir: string) {
  const faults: StoreFault[] = [];
  const onFault = (fault: StoreFault) => faults.push(fault);
  const store = openStore(dir, { retentionMs: 1e13, clock: new FakeClock(T0), onFault });
  return { store, faults };
}

describe('a store with a damaged journal', () => {
  it('reads the rest, counts the damage once, and keeps the damaged part', () => {
    const dir = temp();
    const content = Buffer.concat([MAGIC, ...frames]);
    content[MAGIC.length + (frames[0]?.length ?? 0) + 40] = 0xff;
    writeFileSync(join(dir, 'samples-1-0123456789ab.journal'), content);
    const { store, faults } = open(dir);
    expect([...store.samples('a', 0)]).toHaveLength(30);
    expect(faults.map(({ kind }) => kind)).toEqual(['journal-damaged']);
    expect(store.stats().damagedParts).toBe(1);
    const kept = readdirSync(dir).filter((name) => name.includes('.damaged-'));
    expect(kept).toHaveLength(1);
    expect(readFileSync(join(dir, kept[0] ?? ''))).toEqual(
      content.subarray(
        MAGIC.length + (frames[0]?.length ?? 0),
        MAGIC.length + (frames[0]?.length ?? 0) + (frames[1]?.length ?? 0),
      ),
    );
    store.close();
    const again = open(dir);
    expect(again.faults).toEqual([]);
    expect([...again.store.samples('a', 0)]).toHaveLength(30);
  });

  it('does not follow a link in the place of the journal or the database', () => {
    const dir = temp();
    const outside = join(temp(), 'outside');
    writeFileSync(outside, Buffer.concat([MAGIC, ...frames]));
    symlinkSync(outside, join(dir, 'samples-1-0123456789ab.journal'));
    const first = open(dir);
    expect([...first.store.samples('a', 0)]).toEqual([]);
    expect(first.faults[0]?.kind).toBe('unavailable');
    first.store.close();

    const linked = temp();
    symlinkSync(outside, join(linked, 'gatecast.db'));
    const { store, faults } = open(linked);
    expect(faults[0]?.message).toMatch(/symbolic link/);
    store.append({ stream: 'a', timeMs: T0, value: 1, arrivalMs: T0 });
    store.settle();
    expect(readFileSync(outside)).toEqual(Buffer.concat([MAGIC, ...frames]));
  });

  it('limits its files to their owner, whatever the umask', () => {
    const former = process.umask(0);
    try {
      const dir = join(temp(), 'a', 'b');
      const { store } = open(dir);
      for (let i = 0; i < 3000; i++) store.append({ stream: 'a', timeMs: T0 + i, value: 1, arrivalMs: T0 });
      store.settle();
      store.append({ stream: 'a', timeMs: T0, value: 1, arrivalMs: T0 });
      store.append({ stream: 'a', timeMs: T0 + 5000, value: 1, arrivalMs: T0 });
      store.flush();
      const modes = Object.fromEntries(
        readdirSync(dir).map((name) => [
          name.replace(/-\w+\.journal$/, ''),
          statSync(join(dir, name)).mode & 0o777,
        ]),
      );
      expect(modes).toEqual({
        'gatecast.db': 0o600,
        'gatecast.db-wal': 0o600,
        'gatecast.db-shm': 0o600,
        'gatecast.db-reserve': 0o600,
        'samples-1': 0o600,
      });
      expect([dir, join(dir, '..')].map((folder) => statSync(folder).mode & 0o777)).toEqual([0o700, 0o700]);
      store.close();
    } finally {
      process.umask(former);
    }
  });
});
