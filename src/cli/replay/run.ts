/** Publishes the rows of a file as MQTT messages, at the pace of their times. */

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
  /** Placeholders: `{file}`, `{id}`, `{column}`; with `{column}` each value is a message of its own, a plain number. */
  readonly topic: string;
  /** Seconds of the file a second; infinity: as fast as the broker takes it. */
  readonly speed: number;
  /** Longest pause between two rows; left out: as long as the file's. */
  readonly maxWaitMs?: number;
  readonly qos: 0 | 1;
  readonly retain: boolean;
  /** Rows to skip and most rows to publish. */
  readonly from: number;
  readonly limit: number;
  readonly clock: Clock;
  /** Told after each row. */
  readonly progress?: (done: number, total: number, row: TableRow) => void;
  /** Asked before each row. */
  readonly stopped?: () => boolean;
}

export interface Replayed {
  readonly rows: number;
  readonly messages: number;
  readonly refused: number;
  readonly seconds: number;
  readonly leftOut: Table['leftOut'];
}

const PLACEHOLDERS = ['file', 'id', 'column'];
/** Sleeps shorter than this are not worth a timer; rows due within it go out together, ms. */
const SLEEP_MIN_MS = 2;

/** @throws USAGE for an impossible topic; CSV_INVALID, FILE_UNREADABLE, BROKER_UNREACHABLE */
export async function replay(options: ReplayOptions): Promise<Replayed> {
  const unknown = placeholders(options.topic).filter((name) => !PLACEHOLDERS.includes(name));
  if (unknown.length > 0) {
    throw new GatecastError('USAGE', `the topic has {${unknown[0]}}`, {
      hint: 'known are {file}, {id} and {column}',
    });
  }
  const table = readTable(options.file, options.table);
  const messagesOf = messageMaker(options, table);
  const feeder = await Feeder.connect(options.broker);
  const { clock, speed, maxWaitMs = Number.POSITIVE_INFINITY } = options;
  const startMs = clock.monotonic();
  const total = Math.max(0, Math.min(table.length - options.from, options.limit));
  let rows = 0;
  let messages = 0;
  let firstMs: number | null = null;
  /** What was cut of silences, less the jumps back. */
  let cutMs = 0;
  let index = 0;
  try {
    for (const row of table.rows()) {
      if (index++ < options.from) continue;
      if (rows >= options.limit || options.stopped?.()) break;
      firstMs ??= row.timeMs;
      // a row whose time lies before the first one's is due at once, as a late message is
      const restMs = startMs + (row.timeMs - firstMs) / speed - cutMs - clock.monotonic();
      // Also where the file's clock jumps back: the rows after it keep their pace, they are not to be caught up with.
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
      throw new GatecastError('USAGE', `"${topic}" is no topic to publish to`, {
        hint: 'a topic has no +, # and no empty levels',
      });
    }
    topics.set(key, topic);
    return topic;
  };
  if (options.topic.includes('{column}')) {
    return (row) =>
      table.columns.flatMap((column, at) => {
        const value = row.values[at];
        return Number.isNaN(value) ? [] : [{ topic: topicOf(row.id ?? '', column), payload: String(value) }];
      });
  }
  return (row) => {
    // entries, not assignments: a column may be called __proto__
    const cells = table.columns.flatMap((column, at) => {
      const value = row.values[at];
      return Number.isNaN(value) ? [] : [[column, value] as const];
    });
    const time = ['time', new Date(row.timeMs).toISOString()] as const;
    return [
      { topic: topicOf(row.id ?? '', ''), payload: JSON.stringify(Object.fromEntries([...cells, time])) },
    ];
  };
}

/** The file's name without folder and endings. */
export function fileStem(path: string): string {
  return (path.split('/').at(-1) ?? '').replace(/(\.csv)?(\.gz)?$/i, '');
}

/** Returns false when it was told to stop meanwhile. */
async function pause(clock: Clock, ms: number, stopped: () => boolean = () => false): Promise<boolean> {
  const end = clock.monotonic() + ms;
  while (!stopped()) {
    const left = end - clock.monotonic();
    if (left <= 0) return true;
    await new Promise<void>((resolve) => clock.after(Math.min(left, 500), resolve));
  }
  return false;
}
