/**
 * Reasons why a decoded reading was not used or a message was not sent, counted in `dropped` of the health message
 * together with the reasons in `ingest/rejects.ts`. The texts are the reference: `docs/errors.md` is generated from
 * them.
 */
import type { PushOutcome } from '../forecast/engine-contract.ts';
import type { UndeliveredReason } from '../mqtt/client.ts';

export const DROPS = {
  late: 'The bucket of the reading was already closed and used for a forecast; a larger `lateness` keeps buckets open longer. The reading is stored with a mark, for training and history.',
  duplicate: 'The stream already has a reading with the same time.',
  'out-of-range':
    'The reading is below `limits.min` or above `limits.max`, or is not a plausible measurement; it is stored with a mark.',
  'too-fast': 'The reading changed faster than `limits.max_rate`; it is stored with a mark.',
  future: 'The time stamp is more than five minutes and one interval ahead of the clock.',
  'absurd-time':
    'The time stamp is before 2000, or after 2037 and ahead of the clock: the clock of the sender was never set, or overflowed.',
  'unknown-stream': 'The stream was removed while the reading was waiting.',
  retained: 'A retained message without a time stamp, so the time of the reading is unknown.',
  overload: 'More readings arrived than the agent could process.',
  'store-full': 'The oldest readings in memory, dropped because the disk could not be written for too long.',
  'history-unread':
    'Streams that began without their stored readings, because the database could not be read for a minute.',
  'disk-full': 'The oldest stored samples, deleted because the disk was full.',
  'row-refused': 'Samples that the store refused because of their content.',
  'journal-damaged':
    'Damaged parts of the journal that could not be read at the start; they are kept in a separate file.',
  'forecast-not-finite': 'A forecast contained a value that is not finite; it was not published.',
  'home-assistant-entities':
    'Entities left out of a message for Home Assistant, because the broker accepts no larger message.',
  'sparkplug-backlog':
    'The oldest forecasts that waited for the Sparkplug connection, dropped because more than 1,000 waited.',
  'output-failed': 'Messages that an output could not make because of an error; the log names it.',
  'table-unusable':
    'Messages and files with values known ahead (`covariates`) that could not be read; the values before stay in use.',
  'push-unread': 'Config pushes dropped unread, because too many arrived at once.',
  'outbox-full':
    'The oldest messages waiting for the broker, dropped because the outbox was full (`mqtt.outbox`).',
  'set-aside':
    'The broker closed the connection twice when the message was sent, or the message exceeds its packet limit.',
  'refused-out': 'The broker refused a message of the agent.',
  'log-lost':
    'Messages that the log of a partition no longer held when a worker of the site came to read them.',
  'log-unreadable': 'Messages in the log of a partition that are no batches of readings.',
  'log-failed': 'Messages in the log of a partition that a worker failed to take twice.',
  'oversize-in': 'The broker sent a packet that is too large for the agent.',
} as const satisfies Record<string, string> &
  Record<Exclude<PushOutcome, 'accepted'> | UndeliveredReason, string>;
export type DropReason = keyof typeof DROPS;

/** Drops that violate a guarantee of the agent, or that only the owner can stop: they make the state `degraded` for some minutes. */
export const DEGRADING: ReadonlySet<DropReason> = new Set<DropReason>([
  'overload',
  'absurd-time',
  'future',
  'store-full',
  'history-unread',
  'disk-full',
  'row-refused',
  'journal-damaged',
  'forecast-not-finite',
  'output-failed',
  'outbox-full',
  'set-aside',
  'refused-out',
  'oversize-in',
  'log-lost',
  'log-unreadable',
  'log-failed',
]);

export type Counts = Readonly<Record<string, number>>;

/** Sum of several counts, by reason. */
export function sumCounts(...all: readonly Counts[]): Record<string, number> {
  const total: Record<string, number> = {};
  for (const counts of all)
    for (const [reason, count] of Object.entries(counts)) total[reason] = (total[reason] ?? 0) + count;
  return total;
}
