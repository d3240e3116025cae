/**
 * What fine-tuning learns from: the settings and grids of streams, which checkpoints hold, and their readings, which the logs hold for
 * as long as `--retention`.
 */
import { GatecastError } from '../errors.ts';
import type { Sample } from '../series/sample.ts';
import type { StreamSpec } from '../series/spec.ts';
import { decodeBatch } from './batch.ts';
import { decodeCheckpoint, type StreamGrid } from './checkpoint.ts';
import { inputStream, partitionKey, partitionOf } from './names.ts';
import { entryValue, type Site } from './nats.ts';
import { readObject } from './object.ts';

export interface LoggedStream extends StreamGrid {
  readonly spec: StreamSpec;
  /** A covariate of another partition. */
  readonly isGuest: boolean;
}

/** Streams of a partition, as of its last checkpoint. None before the first one. @throws GatecastError SITE_FAILED if it is damaged */
export async function loggedStreams(
  { state, checkpoints, partitions }: Pick<Site, 'state' | 'checkpoints' | 'partitions'>,
  partition: number,
): Promise<LoggedStream[]> {
  const { object = null } =
    entryValue<{ object?: string | null }>(await state.get(partitionKey(partition))) ?? {};
  const bytes = object === null ? null : await readObject(checkpoints, object);
  if (bytes === null) return [];
  return decodeCheckpoint(bytes).streams.flatMap(({ spec, grid }) =>
    grid === undefined
      ? []
      : [{ ...grid, spec: specInUse(spec, grid), isGuest: partitionOf(spec.name, partitions) !== partition }],
  );
}

/** The covariates that a stream has chosen are named in its spec, so that its history can be played without choosing again. */
const specInUse = (spec: StreamSpec, { chosen }: StreamGrid): StreamSpec =>
  chosen === undefined ? spec : { ...spec, findsCovariates: false, covariates: chosen };

/** Messages fetched at a time, and how long a fetch may take, ms. */
const AT_A_TIME = 64;
const FETCH_MS = 5000;

/**
 * Reads the log of a partition from a time to its present end.
 * @param brake awaited after every message
 * @returns messages that could not be read
 */
export async function readHistory(
  { js, jsm, name }: Pick<Site, 'js' | 'jsm' | 'name'>,
  partition: number,
  fromMs: number,
  visit: (sample: Sample) => void,
  brake: () => Promise<void>,
): Promise<number> {
  const stream = inputStream(name, partition);
  const { state } = await jsm.streams.info(stream);
  if (state.messages === 0 || state.last_ts === undefined || Date.parse(state.last_ts) < fromMs) return 0;
  const { DeliverPolicy } = await import('@nats-io/jetstream');
  const consumer = await js.consumers.get(stream, {
    deliver_policy: DeliverPolicy.StartTime,
    opt_start_time: new Date(fromMs).toISOString(),
  });
  let unreadable = 0;
  for (;;) {
    let seq = 0;
    const messages = await consumer.fetch({ max_messages: AT_A_TIME, expires: FETCH_MS });
    for await (const message of messages) {
      seq = message.seq;
      try {
        for (const sample of decodeBatch(message.data).samples) visit(sample);
      } catch {
        unreadable++;
      }
      await brake();
      if (seq >= state.last_seq) break;
    }
    if (seq >= state.last_seq) return unreadable;
    if (seq === 0)
      throw new GatecastError(
        'SITE_FAILED',
        `The log of partition ${partition} was not read to its end: the server does not answer.`,
      );
  }
}
