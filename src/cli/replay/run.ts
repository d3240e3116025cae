/** Publishes the rows of a file as MQTT messages, paced by their times. */

import { sentinelHints } from '../../backtest/sentinel-hints.ts';
import { GatecastError } from '../../errors.ts';
import { fillTemplate, placeholders, safeName } from '../../ingest/stream-name.ts';
import { Feeder } from '../../mqtt/feeder.ts';
import type { BrokerOptions } from '../../mqtt/options.ts';
import { isTopicName } from '../../mqtt/topics.ts';
import type { Clock } from '../../system/clock.ts';
import { readTable, type Table, type TableOptions, type TableRow } from '../../table/table.ts';

export interface ReplayOptions {
  readonly file: string;
  readonly table: TableOptions;
  readonly broker: BrokerOptions;
  /** Placeholders: `{file}`, `{id}`, `{column}`; with `{column}` each value becomes one message, a plain number. */
  readonly topic: string;
  /** Seconds of the file per second; infinity: as fast as the broker accepts messages. */
  readonly speed: number;
  /** Longest pause between two rows; omitted: unlimited. */
  readonly maxWaitMs?: number;
  readonly qos: 0 | 1;
  readonly retain: boolean;
  /** Rows to skip, and maximum number of rows to publish. */
  readonly from: number;
  readonly limit: number;
  readonly clock: Clock;
  /** Takes a warning about the file. */
  readonly warn?: (text: string) => void;
  /** Called after each row. */
  readonly progress?: (done: number, total: number, row: TableRow) => void;
  /** Checked before each row. */
  readonly stopped?: () => boolean;
}

interface Replayed {
  readonly rows: number;
  readonly messages: number;
  readonly refused: number;
  readonly seconds: number;
  readonly leftOut: Table['leftOut'];
}

const PLACEHOLDERS = ['file', 'id', 'column'];
/** Shortest sleep, ms; rows due within it are sent together. */
const SLEEP_MIN_MS = 2;

/** @throws USAGE for an invalid topic; CSV_INVALID, FILE_UNREADABLE, BROKER_UNREACHABLE */
export async function replay(options: ReplayOptions): Promise<Replayed> {
  const unknown = placeholders(options.topic).filter((name) => !PLACEHOLDERS.includes(name));
  if (unknown.length > 0) {
    throw new GatecastError('USAGE', `the topic has an unknown placeholder {${unknown[0]}}`, {
      hint: 'use {file}, {id} and {column}',
    });
  }
  const table = readTable(options.file, options.table);
  const messagesOf = messageMaker(options, table);
  for (const hint of sentinelHints(options.file, table)) options.warn?.(hint);
  const feeder = await Feeder.connect(options.broker);
  const { clock, speed, maxWaitMs = Number.POSITIVE_INFINITY } = options;
  const startMs = clock.monotonic();
  const total = Math.max(0, Math.min(table.length - options.from, options.limit));
  let rows = 0;
  let messages = 0;
  let firstMs: number | null = null;
  /** Total time by which pauses were shortened, minus jumps back in time. */
  let cutMs = 0;
  let index = 0;
  try {
    for (const row of table.rows()) {
      if (index++ < options.from) continue;
      if (rows >= options.limit || options.stopped?.()) break;
      firstMs ??= row.timeMs;
      // a row earlier than the first one is due at once, like a late message
      const restMs = startMs + (row.timeMs - firstMs) / speed - cutMs - clock.monotonic();
      // Also limits a jump back in time: the rows after it keep their pace instead of being sent at once.
      const waitMs = Math.max(-maxWaitMs, Math.min(restMs, maxWaitMs));
      if (Number.isFinite(restMs)) cutMs += restMs - waitMs;
      if (waitMs > SLEEP_MIN_MS && !(await pause(clock, waitMs, options.stopped))) break;
      for (const message of messagesOf(row)) {
        await feeder.send({ ...message, qos: options.qos, retain: options.retain });
        messages++;
      }
      rows++;
      options.progress?.(rows, total, row);
    }
    await feeder.finish();
  } catch (error) {
    feeder.abort();
    throw error;
  }
  const seconds = (clock.monotonic() - startMs) / 1000;
  return { rows, messages, refused: feeder.refused, seconds, leftOut: table.leftOut };
}

function messageMaker(
  options: ReplayOptions,
  table: Table,
): (row: TableRow) => { topic: string; payload: string }[] {
  const file = safeName(fileStem(options.file)) ?? 'file';
  const topics = new Map<string, string>();
  const topicOf = (id: string, column: string): string => {
    const key = `${id}\n${column}`;
    const known = topics.get(key);
    if (known !== undefined) return known;
    const values = new Map([
      ['file', file],
      ['id', safeName(id) ?? '_'],
      ['column', safeName(column) ?? '_'],
    ]);
    const topic = fillTemplate(options.topic, values);
    if (!isTopicName(topic)) {
      throw new GatecastError('USAGE', `"${topic}" is not a valid topic name`, {
        hint: 'a topic name has no +, no # and no empty levels',
      });
    }
    topics.set(key, topic);
    return topic;
  };
  const cellsOf = ({ values }: TableRow): (readonly [column: string, value: number])[] =>
    table.columns.flatMap((column, at) => (Number.isNaN(values[at]) ? [] : [[column, values[at]] as const]));
  if (options.topic.includes('{column}'))
    return (row) =>
      cellsOf(row).map(([column, value]) => ({
        topic: topicOf(row.id ?? '', column),
        payload: String(value),
      }));
  return (row) => {
    // entries, not assignments: a column may be called __proto__
    const message = Object.fromEntries([...cellsOf(row), ['time', new Date(row.timeMs).toISOString()]]);
    return [{ topic: topicOf(row.id ?? '', ''), payload: JSON.stringify(message) }];
  };
}

/** The file's name without folder and extensions. */
export function fileStem(path: string): string {
  return (path.split('/').at(-1) ?? '').replace(/(\.csv)?(\.gz)?$/i, '');
}

/** Returns false if `stopped` became true meanwhile. */
async function pause(clock: Clock, ms: number, stopped: () => boolean = () => false): Promise<boolean> {
  const end = clock.monotonic() + ms;
  while (!stopped()) {
    const left = end - clock.monotonic();
    if (left <= 0) return true;
    await new Promise<void>((resolve) => clock.after(Math.min(left, 500), resolve));
  }
  return false;
}
