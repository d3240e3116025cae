/**
 * The database's tables, one migration per version; `PRAGMA user_version` holds the version of a file. A released
 * migration is never changed.
 *
 * Rows are keyed by time first: new rows are then appended at the end of the tree, so that a batch touches few pages
 * and trimming the oldest rows frees whole pages. Reading one stream therefore also reads the rows of all others in
 * that time span; this happens at the start and in training, not per message.
 */
export const MIGRATIONS: readonly string[] = [
  `
      CREATE TABLE stream (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
      CREATE TABLE sample (
        time INTEGER NOT NULL,   -- ms since 1970 UTC
        stream INTEGER NOT NULL,
        value REAL NOT NULL,
        mark INTEGER NOT NULL,   -- quality, 0 = good
        PRIMARY KEY (time, stream)
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE snapshot (
        stream INTEGER NOT NULL,
        slot INTEGER NOT NULL,   -- 0 and 1 take turns, so that the one before survives a damaged one
        saved INTEGER NOT NULL,  -- counts up
        model TEXT NOT NULL,
        replay_from INTEGER NOT NULL,
        sha256 TEXT NOT NULL,
        bytes BLOB NOT NULL,
        PRIMARY KEY (stream, slot)
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
      CREATE TABLE forgotten (stream INTEGER PRIMARY KEY, cursor INTEGER NOT NULL) STRICT;
  `,
  `
      CREATE TABLE reject (
        day INTEGER NOT NULL,    -- its start, ms since 1970 UTC
        stream INTEGER NOT NULL,
        reason TEXT NOT NULL,
        count INTEGER NOT NULL,
        PRIMARY KEY (day, stream, reason)
      ) STRICT, WITHOUT ROWID;
      ALTER TABLE snapshot ADD COLUMN saved_at INTEGER; -- ms since 1970 UTC; NULL: by an older version
      ALTER TABLE snapshot ADD COLUMN about TEXT;       -- JSON: what the state says of its stream, to be read without the model
  `,
  `
      CREATE TABLE anomaly (
        time INTEGER NOT NULL,   -- start of the bucket, ms since 1970 UTC
        stream INTEGER NOT NULL,
        observed REAL NOT NULL,
        score REAL NOT NULL,     -- -log10 of the probability
        PRIMARY KEY (time, stream)
      ) STRICT, WITHOUT ROWID;
  `,
];

export const SCHEMA_VERSION = MIGRATIONS.length;
