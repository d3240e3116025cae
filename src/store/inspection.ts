/**
 * What a store holds, read beside the agent that writes it and without changing anything: the database as of its last
 * batch, and the journal that holds what came since.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { GatecastError } from '../errors.ts';
import { SELECT_ID, SELECT_META } from './batch.ts';
import { type Database, openReadOnly } from './database.ts';
import { readJournal } from './journal.ts';
import { type MarkSpan, marked } from './marks.ts';
import { eachSampleOf, mergeByTime } from './reading.ts';
import { type RejectCount, readRejects } from './reject-counts.ts';
import { SCHEMA_VERSION } from './schema.ts';
import { readSnapshotAbout, type SnapshotAbout } from './snapshots.ts';
import { DATABASE_FILE, JOURNAL_FILE } from './sqlite-store.ts';
import type { StoredSample } from './store-contract.ts';

export interface Inspection {
  /** In order of name. */
  streams(): string[];
  /** Ascending by time, marks and all. */
  samples(stream: string): Iterable<StoredSample>;
  /** The newest saved state; null where there is none. */
  state(stream: string): SnapshotAbout | null;
  rejects(stream: string): RejectCount[];
  getMeta(key: string): string | null;
  close(): void;
}

interface Waiting {
  readonly samples: Map<string, StoredSample[]>;
  readonly marks: Map<string, MarkSpan[]>;
  readonly meta: Map<string, string>;
}

/**
 * @param dir the data directory
 * @throws FILE_UNREADABLE where no agent has stored anything, STORE_NEWER, STORE_FAILED
 */
export function inspectStore(dir: string): Inspection {
  const path = join(dir, DATABASE_FILE);
  const journal = join(dir, JOURNAL_FILE);
  if (!existsSync(path) && !existsSync(journal)) {
    throw new GatecastError('FILE_UNREADABLE', `${dir} holds no store`, {
      hint: 'name the data_dir of an agent that has run',
    });
  }
  try {
    // The journal first: what moves into the database meanwhile is then in both, and comes once.
    const waiting = readWaiting(journal);
    return inspection(existsSync(path) ? openChecked(path) : null, waiting);
  } catch (error) {
    if (error instanceof GatecastError) throw error;
    throw new GatecastError('STORE_FAILED', `${dir}: ${(error as Error).message}`, { cause: error });
  }
}

function openChecked(path: string): Database {
  const db = openReadOnly(path);
  const version = db.pragma('user_version', { simple: true }) as number;
  if (version === SCHEMA_VERSION) return db;
  db.close();
  if (version > SCHEMA_VERSION)
    throw new GatecastError(
      'STORE_NEWER',
      `${path} has schema ${version}, this version knows ${SCHEMA_VERSION}`,
    );
  throw new GatecastError('STORE_FAILED', `${path} has schema ${version}, ${SCHEMA_VERSION} is wanted`, {
    hint: 'the agent of this version brings it up to date when it starts',
  });
}

function readWaiting(path: string): Waiting {
  const names = new Map<number, string>();
  const waiting: Waiting = { samples: new Map(), marks: new Map(), meta: new Map() };
  const { samples, marks, meta } = waiting;
  if (!existsSync(path)) return waiting;
  const add = <T>(to: Map<string, T[]>, id: number, one: T): void => {
    const name = names.get(id) ?? '';
    const list = to.get(name);
    if (list === undefined) to.set(name, [one]);
    else list.push(one);
  };
  readJournal(path, {
    name: (id, name) => names.set(id, name),
    sample: (id, timeMs, value, mark) => add(samples, id, { timeMs, value, mark }),
    mark: (id, span) => add(marks, id, span),
    meta: (key, value) => meta.set(key, value),
  });
  return waiting;
}

function inspection(db: Database | null, waiting: Waiting): Inspection {
  const idOf = (stream: string): number | undefined =>
    db?.prepare(SELECT_ID).pluck().get(stream) as number | undefined;
  return {
    streams() {
      const stored = (db?.prepare('SELECT name FROM stream').pluck().all() ?? []) as string[];
      return [...new Set([...stored, ...waiting.samples.keys()])].sort();
    },
    samples(stream) {
      const id = idOf(stream);
      const stored = db === null || id === undefined ? [] : eachSampleOf(db, id, 0, Number.MAX_SAFE_INTEGER);
      const own = (waiting.samples.get(stream) ?? []).slice();
      const spans = waiting.marks.get(stream) ?? [];
      const failed = (error: unknown): never => {
        throw new GatecastError('STORE_FAILED', (error as Error).message, { cause: error });
      };
      return marked(
        mergeByTime(stored, own, () => '', failed),
        () => spans,
      );
    },
    state(stream) {
      const id = idOf(stream);
      return db === null || id === undefined ? null : readSnapshotAbout(db, id);
    },
    rejects(stream) {
      const id = idOf(stream);
      return db === null || id === undefined ? [] : readRejects(db, id);
    },
    getMeta: (key) =>
      waiting.meta.get(key) ?? (db?.prepare(SELECT_META).pluck().get(key) as string | undefined) ?? null,
    close: () => db?.close(),
  };
}
