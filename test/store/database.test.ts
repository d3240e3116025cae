import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import { describe, expect, it } from 'vitest';
import { migrate, openDatabase } from '../../src/store/database.ts';
import { SCHEMA_VERSION } from '../../src/store/schema.ts';
import { tempDirs } from '../support/temp.ts';

const temp = tempDirs();
const version = (db: Sqlite.Database) => db.pragma('user_version', { simple: true });

describe('migrate', () => {
  const steps = ['CREATE TABLE a (x)', 'ALTER TABLE a ADD COLUMN y DEFAULT 7', 'CREATE TABLE b (z)'];

  it('runs what is lacking and keeps the rows', () => {
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

describe('openDatabase', () => {
  it('makes the folder, the tables and the pragmas', () => {
    const path = join(temp(), 'deep', 'down', 'x.db');
    const { db, quarantined } = openDatabase(path, 0);
    expect(quarantined).toBeNull();
    expect(version(db)).toBe(SCHEMA_VERSION);
    expect(db.pragma('journal_mode', { simple: true })).toBe('wal');
    expect(db.pragma('auto_vacuum', { simple: true })).toBe(2);
    db.close();
  });
});
