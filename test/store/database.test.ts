import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import { describe, expect, it } from 'vitest';
import {
  holdFile,
  isDamage,
  isDiskFull,
  isRowRefused,
  migrate,
  openDatabase,
  openReadOnly,
} from '../../src/store/database.ts';
import { SCHEMA_VERSION } from '../../src/store/schema.ts';
import { tempDirs } from '../support/temp.ts';

const temp = tempDirs();
const thrown = (action: () => void): unknown => {
  try {
    action();
  } catch (error) {
    return error;
  }
  return null;
};
const version = (db: Sqlite.Database) => db.pragma('user_version', { simple: true });

describe('other ways to open a file', () => {
  it('a reader cannot write', () => {
    const path = join(temp(), 'x.db');
    openDatabase(path).close();
    const reader = openReadOnly(path);
    expect(() => reader.exec('CREATE TABLE other (x)')).toThrow(/readonly/);
    reader.close();
  });

  it('a lock on a file that is no database is an error, not a lock that another holds', () => {
    const path = join(temp(), 'lock');
    writeFileSync(path, 'no database '.repeat(100));
    expect(() => holdFile(path)).toThrow(expect.objectContaining({ code: 'SQLITE_NOTADB' }));
  });
});

describe('migrate', () => {
  const steps = ['CREATE TABLE a (x)', 'ALTER TABLE a ADD COLUMN y DEFAULT 7', 'CREATE TABLE b (z)'];

  it('runs the missing migrations and keeps the rows', () => {
    const db = new Sqlite(':memory:');
    migrate(db, 0, steps.slice(0, 1));
    db.exec('INSERT INTO a VALUES (1)');
    migrate(db, 1, steps);
    expect(version(db)).toBe(3);
    expect(db.prepare('SELECT * FROM a').all()).toEqual([{ x: 1, y: 7 }]);
    migrate(db, 3, steps);
  });

  it('runs all or nothing', () => {
    const db = new Sqlite(':memory:');
    expect(() => migrate(db, 0, [...steps, 'CREATE TABLE a (x)'])).toThrow(/already exists/);
    expect(version(db)).toBe(0);
    expect(db.prepare('SELECT count(*) FROM sqlite_schema').pluck().get()).toBe(0);
  });
});

describe('errors', () => {
  const sqlite = (code: string) => new Sqlite.SqliteError('text', code);

  it('of SQLite are distinguished by their code', () => {
    const codes = [
      'SQLITE_CORRUPT',
      'SQLITE_CORRUPT_INDEX',
      'SQLITE_NOTADB',
      'SQLITE_FULL',
      'SQLITE_CONSTRAINT_CHECK',
      'SQLITE_TOOBIG',
      'SQLITE_IOERR',
    ];
    expect(codes.filter((code) => isDamage(sqlite(code)))).toEqual(codes.slice(0, 3));
    expect(codes.filter((code) => isDiskFull(sqlite(code)))).toEqual(['SQLITE_FULL']);
    expect(codes.filter((code) => isRowRefused(sqlite(code)))).toEqual(codes.slice(4, 6));
  });

  it('of others are a full disk, a value that SQLite cannot bind, or neither', () => {
    expect(isDiskFull(Object.assign(new Error('no space'), { code: 'ENOSPC' }))).toBe(true);
    expect(isRowRefused(new RangeError('too large'))).toBe(true);
    for (const other of [new Error('SQLITE_CORRUPT'), { code: 'SQLITE_FULL' }, null])
      expect([isDamage(other), isDiskFull(other), isRowRefused(other)]).toEqual([false, false, false]);
  });
});

describe('openDatabase', () => {
  it('finds damage, which is no other reason why a file cannot be opened', () => {
    const dir = temp();
    const folder = join(dir, 'x.db');
    mkdirSync(folder);
    expect(() => openDatabase(folder)).toThrow();
    expect(readdirSync(dir)).toEqual(['x.db']);
    const garbage = join(dir, 'y.db');
    writeFileSync(garbage, 'no database '.repeat(100));
    expect(() => openDatabase(garbage)).toThrow(/not a database/);
    expect([
      isDamage(thrown(() => openDatabase(garbage))),
      isDamage(thrown(() => openDatabase(folder))),
    ]).toEqual([true, false]);
  });

  it('finds the damage of a database that opens', () => {
    const path = join(temp(), 'x.db');
    const db = openDatabase(path);
    db.exec("INSERT INTO meta VALUES ('key', 'value')");
    const page = db.prepare("SELECT rootpage FROM sqlite_schema WHERE name = 'meta'").pluck().get() as number;
    const pageBytes = db.pragma('page_size', { simple: true }) as number;
    db.close();
    const content = readFileSync(path);
    // The place of the first cell is outside of its page.
    content.writeUInt16BE(0xffff, (page - 1) * pageBytes + 8);
    writeFileSync(path, content);
    expect(() => openDatabase(path)).toThrow(/out of range/i);
    expect(isDamage(thrown(() => openDatabase(path)))).toBe(true);
  });

  it('refuses a database of a newer version, and says which', () => {
    const path = join(temp(), 'x.db');
    const db = openDatabase(path);
    db.pragma(`user_version = ${SCHEMA_VERSION + 3}`);
    db.close();
    expect(() => openDatabase(path)).toThrow(
      expect.objectContaining({
        code: 'STORE_NEWER',
        message: `${path} has schema ${SCHEMA_VERSION + 3}, but this version supports schemas up to ${SCHEMA_VERSION}`,
        hint: expect.stringContaining('newer gatecast version'),
      }),
    );
  });

  it('makes the files of an existing database readable by its owner only', () => {
    const path = join(temp(), 'x.db');
    const db = openDatabase(path);
    const files = ['', '-wal', '-shm'].map((end) => `${path}${end}`);
    for (const file of files) chmodSync(file, 0o644);
    const again = openDatabase(path);
    expect(files.map((file) => statSync(file).mode & 0o777)).toEqual([0o600, 0o600, 0o600]);
    again.close();
    db.close();
  });

  it('makes the folder, the tables and the pragmas', () => {
    const path = join(temp(), 'deep', 'down', 'x.db');
    const db = openDatabase(path);
    expect(version(db)).toBe(SCHEMA_VERSION);
    expect(db.pragma('journal_mode', { simple: true })).toBe('wal');
    expect(db.pragma('auto_vacuum', { simple: true })).toBe(2);
    db.close();
  });
});
