/**
 * Reads a store while an agent writes to it, without changing anything: the database as of its last batch, and the
 * journal with everything newer.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { errorFields, fileErrorText, GatecastError } from '../errors.ts';
import type { StreamSnapshot } from '../forecast/engine-contract.ts';
import { readApplied, readMeta, SELECT_ID } from './batch.ts';
import { type Database, openReadOnly } from './database.ts';
import { samplesOf } from './merged.ts';
import { type RejectCount, readRejects } from './reject-counts.ts';
import { SCHEMA_VERSION } from './schema.ts';
import { readSegments } from './segments.ts';
import { readSnapshot, readSnapshotAbout, type SnapshotAbout } from './snapshots.ts';
import { DATABASE_FILE } from './sqlite-store.ts';
import type { StoredSample } from './store-contract.ts';
import { Waiting } from './waiting.ts';

/** Most journal rows read: more than an agent leaves in one. */
const MOST_WAITING = 1_000_000;

export interface Inspection {
  /** Stream names, sorted. */
  streams(): string[];
  /** Ascending by time, including marked samples; `toMs` exclusive. */
  samples(stream: string, fromMs?: number, toMs?: number): Iterable<StoredSample>;
  /** The newest saved state that is not damaged; null where there is none. */
  snapshot(stream: string): StreamSnapshot | null;
  /** The newest saved state; null if there is none. */
  state(stream: string): SnapshotAbout | null;
  rejects(stream: string): RejectCount[];
  getMeta(key: string): string | null;
  close(): void;
}

/**
 * @param dir the data directory
 * @throws FILE_UNREADABLE if no agent has stored anything there, STORE_NEWER, STORE_FAILED
 */
export function inspectStore(dir: string): Inspection {
  const path = join(dir, DATABASE_FILE);
  try {
    // The journal is read first: rows that move to the database meanwhile are then in both, and are returned once.
    const journal = readSegments(dir);
    if (!existsSync(path) && journal.length === 0)
      throw new GatecastError('FILE_UNREADABLE', `${dir} contains no store`, {
        hint: 'give the data_dir of an agent that has run before',
      });
    const db = existsSync(path) ? openChecked(path) : null;
    const waiting = new Waiting(dir, MOST_WAITING);
    waiting.peek(journal, db === null ? {} : readApplied(db));
    return inspection(db, waiting);
  } catch (error) {
    if (error instanceof GatecastError) throw error;
    throw new GatecastError('STORE_FAILED', `${dir}: ${fileErrorText(error)}`, {
      hint: errorFields(error).code === 'EACCES' ? 'run it as the user of the agent, or as root' : undefined,
      cause: error,
    });
  }
}

function openChecked(path: string): Database {
  const db = openReadOnly(path);
  const version = db.pragma('user_version', { simple: true }) as number;
  if (version === SCHEMA_VERSION) return db;
  db.close();
  const found = `${path} has schema ${version}, but`;
  if (version > SCHEMA_VERSION)
    throw new GatecastError('STORE_NEWER', `${found} this version supports schema ${SCHEMA_VERSION}`);
  throw new GatecastError('STORE_FAILED', `${found} schema ${SCHEMA_VERSION} is needed`, {
    hint: 'start the agent of this version once: it updates the database',
  });
}

function inspection(db: Database | null, waiting: Waiting): Inspection {
  const idOf = (stream: string): number | null =>
    (db?.prepare(SELECT_ID).pluck().get(stream) as number | undefined) ?? null;
  const failed = (cause: unknown): never => {
    if (cause instanceof GatecastError) throw cause;
    throw new GatecastError('STORE_FAILED', `The database cannot be read: ${(cause as Error).message}`, {
      cause,
      hint: 'The agent moves a damaged database aside at its next start.',
    });
  };
  const read =
    <A extends readonly unknown[], R>(of: (...args: A) => R) =>
    (...args: A): R => {
      try {
        return of(...args);
      } catch (error) {
        return failed(error);
      }
    };
  const ofStream = <R>(none: R, of: (db: Database, id: number, stream: string) => R) =>
    read((stream: string): R => {
      const id = idOf(stream);
      return db === null || id === null ? none : of(db, id, stream);
    });
  return {
    streams: read(() => {
      const names = new Set((db?.prepare('SELECT name FROM stream').pluck().all() ?? []) as string[]);
      waiting.forEach((number) => {
        names.add(waiting.nameOf(number));
      });
      return [...names].sort();
    }),
    samples: read((stream, fromMs = 0, toMs = Number.MAX_SAFE_INTEGER) =>
      samplesOf({ waiting, db, failed }, stream, idOf(stream), fromMs, toMs),
    ),
    snapshot: ofStream(null, (db, id, stream) => readSnapshot(db, id, stream, () => {})),
    state: ofStream(null, readSnapshotAbout),
    rejects: ofStream([], readRejects),
    getMeta: read((key) => waiting.meta.get(key) ?? (db === null ? null : readMeta(db, key))),
    close: () => db?.close(),
  };
}
