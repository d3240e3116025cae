/**
 * Covariates known ahead: tables from topics and files, passed to the engine. A message or file that cannot be used
 * is logged once, and the previous table stays in use.
 */
import { statSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { type Config, resolveTables, type TableSettings } from '../config/index.ts';
import { errorFields, errorText, GatecastError } from '../errors.ts';
import type { ForecastEngine } from '../forecast/engine-contract.ts';
import { readTablePayload, type TableFields } from '../ingest/table-payload.ts';
import type { Incoming } from '../mqtt/connection.ts';
import type { TablePoint } from '../series/covariate-sources.ts';
import { readInput } from '../system/files.ts';
import { RateLimitedLog } from '../system/rate-limited-log.ts';
import { type MetaStore, StoredValue } from '../system/stored-value.ts';
import type { Counts } from './drops.ts';
import { every } from './every.ts';
import type { Change, Context, Part } from './part.ts';

/** Tables received on topics, by name: alternating times and values. */
type Tables = Readonly<Record<string, readonly number[]>>;

/** Interval of checking files and of saving received tables, ms. */
const LOOK_MS = 60_000;

/** A larger file is not read; nor is one without an end, such as a device or a pipe that nobody closes. */
const MOST_FILE_BYTES = 16 * 1024 * 1024;

type Settings = Pick<Config, 'streams' | 'ingest'>;

interface KnownAheadParts extends Pick<Context, 'clock' | 'log'> {
  readonly config: () => Settings;
  readonly engine: Pick<ForecastEngine, 'know'>;
  readonly store: MetaStore;
}

export class KnownAhead implements Part {
  readonly name = 'known ahead';
  private tables: readonly TableSettings[] = [];
  /** Larger messages are ignored. */
  private maxPayloadBytes = 0;
  /** State of each file when it was read: size, and change times of content and permissions; or an error word. */
  private readonly seen = new Map<string, string>();
  /** The last error of each table. */
  private readonly wrong = new Map<string, string>();
  private cancel: () => void = () => {};
  private reading: Promise<void> = Promise.resolve();
  /** Tables received on topics, which are saved because they cannot be read again. Null before those of the last run are loaded. */
  private heard: Map<string, Float64Array> | null = null;
  /** Whether a received table is not saved yet. */
  private fresh = false;
  private readonly kept: StoredValue<Tables>;

  private unusable = 0;
  private readonly warnings: RateLimitedLog;

  constructor(private readonly parts: KnownAheadParts) {
    this.kept = new StoredValue(parts.store, 'agent.tables', tablesOf, (stored, own) => ({
      ...this.wanted(stored),
      ...own,
    }));
    this.warnings = new RateLimitedLog(parts.clock);
  }

  dropped(): Counts {
    return this.unusable === 0 ? {} : { 'table-unusable': this.unusable };
  }

  /** Files are read before this returns, so that the first forecasts know them. */
  async start(): Promise<void> {
    const { config, clock, log } = this.parts;
    this.use(config());
    await this.readFiles();
    this.cancel = every(clock, LOOK_MS, () => this.look(), log);
  }

  stop(): void {
    this.cancel();
    this.save();
  }

  prepare(next: Settings, running: Settings): Change | null {
    const tables = resolveTables(next);
    const same = isDeepStrictEqual([tables, next.ingest], [resolveTables(running), running.ingest]);
    return same ? null : { apply: () => void this.use(next, tables), settle: () => this.readFiles() };
  }

  private use(config: Settings, tables = resolveTables(config)): void {
    this.tables = tables;
    this.maxPayloadBytes = config.ingest.max_payload;
    this.heard ??= this.recall(this.kept.read());
    for (const name of [...this.heard.keys()]) {
      if (this.isHeard(name)) continue;
      this.heard.delete(name);
      this.fresh = true;
    }
  }

  private isHeard(name: string): boolean {
    return this.tables.some((table) => table.kind === 'topic' && table.name === name);
  }

  private wanted(tables: Tables): Tables {
    return Object.fromEntries(Object.entries(tables).filter(([name]) => this.isHeard(name)));
  }

  /**
   * Saves received tables for the next run, because a broker that has kept the session does not send them
   * again.
   */
  save(): void {
    if (!this.fresh && !this.kept.isUnread) return;
    const heard = this.heard ?? new Map<string, Float64Array>();
    const own = Object.fromEntries([...heard].map(([name, pairs]) => [name, [...pairs]]));
    const saved = this.kept.save(own);
    if (saved === null) return;
    this.fresh = false;
    const missed = Object.entries(saved).filter(([name]) => !heard.has(name));
    this.recall(Object.fromEntries(missed), heard);
  }

  private recall(tables: Tables, heard = new Map<string, Float64Array>()): Map<string, Float64Array> {
    for (const [name, pairs] of Object.entries(tables)) {
      heard.set(name, Float64Array.from(pairs));
      this.parts.engine.know(name, pointsOf(pairs));
    }
    return heard;
  }

  filters(): string[] {
    return [...new Set(this.tables.flatMap((table) => (table.kind === 'topic' ? [table.topic] : [])))];
  }

  receive({ topic, payload, acknowledge }: Incoming): boolean {
    let mine = false;
    for (const table of this.tables) {
      if (table.kind !== 'topic' || table.topic !== topic) continue;
      mine = true;
      // An empty message deletes a retained one: ignore it.
      if (payload.length > 0) this.take(table, topic, () => this.points(payload, table));
    }
    if (mine) acknowledge?.();
    return mine;
  }

  private points(payload: Uint8Array, fields: TableFields): TablePoint[] {
    if (payload.length <= this.maxPayloadBytes) return readTablePayload(payload, fields);
    throw new GatecastError(
      'COVARIATE_INVALID',
      `The message has ${payload.length} bytes; ${this.maxPayloadBytes} are allowed.`,
    );
  }

  private look(): void {
    this.save();
    this.reading = this.reading
      .then(() => this.readFiles())
      .catch((error: unknown) =>
        this.parts.log.error('covariate files could not be read', { ...errorFields(error) }),
      );
  }

  private async readFiles(): Promise<void> {
    const files = this.tables.filter((table) => table.kind === 'file');
    const changed = files.filter((table) => {
      const state = stateOf(table.file);
      const same = this.seen.get(table.name) === state;
      this.seen.set(table.name, state);
      return !same;
    });
    if (changed.length === 0) return;
    // Imported only if there is such a file.
    const { parseTable } = await import('../table/table.ts');
    for (const table of changed) {
      this.take(table, table.file, () => {
        const { time, column } = table;
        const bytes = readInput(table.file, MOST_FILE_BYTES);
        const format = { time: [time], columns: [column] };
        const rows = parseTable(table.file, bytes, format, MOST_FILE_BYTES).rows();
        return Array.from(rows, ({ timeMs, values }) => ({ timeMs, value: values[0] }));
      });
    }
  }

  private take({ kind, name }: TableSettings, from: string, read: () => readonly TablePoint[]): void {
    const { engine, log } = this.parts;
    try {
      const points = read();
      engine.know(name, points);
      if (kind === 'topic') {
        this.heard?.set(name, Float64Array.from(points.flatMap(({ timeMs, value }) => [timeMs, value])));
        this.fresh = true;
      }
      this.wrong.delete(name);
      log.debug('known ahead', { from, points: points.length });
    } catch (error) {
      this.unusable++;
      const reason = errorText(error);
      if (this.wrong.get(name) !== reason)
        this.warnings.say(name, (omitted) => log.warn('covariate unusable', { from, reason, omitted }));
      this.wrong.set(name, reason);
    }
  }
}

/** Skips damaged tables: they will be received again. */
const tablesOf = (json: unknown): Tables =>
  Object.fromEntries(
    Object.entries(json ?? {}).filter(
      (entry): entry is [string, number[]] => Array.isArray(entry[1]) && entry[1].every(Number.isFinite),
    ),
  );

const pointsOf = (pairs: readonly number[]): TablePoint[] =>
  Array.from({ length: pairs.length >> 1 }, (_, i) => ({ timeMs: pairs[2 * i], value: pairs[2 * i + 1] }));

function stateOf(file: string): string {
  try {
    const { mtimeMs, ctimeMs, size } = statSync(file);
    return `${mtimeMs} ${ctimeMs} ${size}`;
  } catch {
    return 'unreadable';
  }
}
