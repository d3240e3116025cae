/**
 * Saved states of streams: two slots per stream, each with a checksum, so that the previous state replaces a damaged
 * one.
 */
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import type { StreamAbout, StreamSnapshot } from '../forecast/engine-contract.ts';
import { sha256 } from '../system/files.ts';
import { jsonOrNull } from '../system/json.ts';
import type { Database } from './database.ts';

/** Writes many snapshots with the same statements. Call it, and what it returns, inside a transaction. */
export function snapshotWriter(
  db: Database,
): (streamId: number, snapshot: StreamSnapshot, nowMs: number) => void {
  const newestSlot = db.prepare(
    'SELECT slot, saved FROM snapshot WHERE stream = ? ORDER BY saved DESC LIMIT 1',
  );
  const insert = db.prepare(
    `INSERT OR REPLACE INTO snapshot (stream, slot, saved, model, replay_from, sha256, bytes, saved_at, about)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  return (streamId, { modelHash, replayFromMs, bytes, about }, nowMs) => {
    const newest = newestSlot.get(streamId) as { slot: number; saved: number } | undefined;
    const fromMs = Math.floor(replayFromMs);
    insert.run(
      streamId,
      newest === undefined ? 0 : 1 - newest.slot,
      (newest?.saved ?? 0) + 1,
      modelHash,
      fromMs,
      checksum(modelHash, fromMs, bytes),
      packed(bytes),
      Math.floor(nowMs),
      about === undefined ? null : JSON.stringify(about),
    );
  };
}

const SLOTS = 2;

/** Returns the newest snapshot with a valid checksum; calls `damaged` for each invalid one. */
export function readSnapshot(
  db: Database,
  streamId: number,
  stream: string,
  damaged: (message: string) => void,
): StreamSnapshot | null {
  // Read separately, because the second is needed only if the first is damaged.
  const slot = db.prepare(
    'SELECT model, replay_from, sha256, bytes FROM snapshot WHERE stream = ? ORDER BY saved DESC LIMIT 1 OFFSET ?',
  );
  for (let age = 0; age < SLOTS; age++) {
    const row = slot.get(streamId, age) as
      | { model: string; replay_from: number; sha256: string; bytes: Buffer }
      | undefined;
    if (row === undefined) return null;
    const bytes = unpacked(row.bytes);
    if (bytes !== null && checksum(row.model, row.replay_from, bytes) === row.sha256)
      return { stream, modelHash: row.model, replayFromMs: row.replay_from, bytes };
    damaged(`the saved state of ${stream} fails its checksum`);
  }
  return null;
}

/** Prefix of compressed states; states of gatecast 0.1 are not compressed. */
const PACKED = Buffer.from('GCZ1');
/** The fastest level: higher ones save only a few percent. With these sizes a usual state is one block of the format and one chunk of Node's. */
const DEFLATE = { level: 1, memLevel: 9, chunkSize: 2 ** 15 } as const;
const MOST_BYTES = 2 ** 26;

/** Compresses a state to half its size or less; states are most of the bytes that the store writes. */
function packed(bytes: Uint8Array): Buffer {
  return Buffer.concat([PACKED, deflateRawSync(bytes, DEFLATE)]);
}

/** Null if the bytes are damaged. */
function unpacked(stored: Buffer): Uint8Array | null {
  if (!stored.subarray(0, PACKED.length).equals(PACKED))
    return new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength);
  try {
    const bytes = inflateRawSync(stored.subarray(PACKED.length), { maxOutputLength: MOST_BYTES });
    return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  } catch {
    return null;
  }
}

export interface SnapshotAbout {
  readonly modelHash: string;
  /** The state includes all samples before this time, ms. */
  readonly replayFromMs: number;
  readonly bytes: number;
  /** null: saved by an older version that did not record the time. */
  readonly savedMs: number | null;
  readonly about: StreamAbout | null;
}

/** Data about the newest saved state, without reading the state itself. */
export function readSnapshotAbout(db: Database, streamId: number): SnapshotAbout | null {
  const row = db
    .prepare(
      `SELECT model AS modelHash, replay_from AS replayFromMs, length(bytes) AS bytes, saved_at AS savedMs, about
       FROM snapshot WHERE stream = ? ORDER BY saved DESC LIMIT 1`,
    )
    .get(streamId) as (Omit<SnapshotAbout, 'about'> & { about: string | null }) | undefined;
  if (row === undefined) return null;
  return { ...row, about: jsonOrNull(row.about ?? '') as StreamAbout | null };
}

function checksum(model: string, replayFromMs: number, bytes: Uint8Array): string {
  return sha256(`${model}\n${replayFromMs}\n`, bytes);
}
