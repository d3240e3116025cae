/**
 * Reasons why a decoded reading was not used or a message was not sent, counted in `dropped` of the health message
 * together with the reasons in `ingest/rejects.ts`. The texts are the reference: `docs/errors.md` is generated from
 * them.
 */
import type { PushOutcome } from '../forecast/engine-contract.ts';
import type { Unsent } from '../mqtt/client.ts';

type Refused = Exclude<PushOutcome, 'accepted'>;
type Kept = 'too-fast' | 'retained' | 'overload' | 'forecast-not-finite';
type Lost = 'store-full' | 'disk-full' | 'row-refused' | 'journal-damaged';

export type DropReason = Refused | Kept | Lost | Unsent;

export const DROPS: Readonly<Record<DropReason, string>> = {
  late: 'The bucket of the reading had been forecast already; `lateness` keeps buckets open longer. It is stored with a mark, so that training and history have it.',
  duplicate: 'The stream has a reading of the same time already.',
  'out-of-range':
    'The reading is outside `limits.min` and `limits.max`, or no measurement at all; it is stored with a mark.',
  'too-fast': 'The reading changed faster than `limits.max_rate`; it is stored with a mark.',
  future: 'The time stamp lies further ahead of the clock than five minutes and an interval.',
  'absurd-time': 'The time stamp is before 2000 or after 2037: of a clock that was never set, or overflowed.',
  'unknown-stream': 'The stream was removed while the reading waited.',
  retained: 'The broker had kept the message from before, and it has no time stamp of its own.',
  overload: 'More readings came than could be worked on.',
  'store-full': 'Readings that waited in memory for a disk that took nothing; the oldest went.',
  'disk-full': 'Stored samples, the oldest, that were deleted because the disk was full.',
  'row-refused': 'Samples that the database refused for what they held.',
  'journal-damaged': 'Parts of the journal that could not be read at the start; they are kept beside it.',
  'forecast-not-finite': 'A forecast held a value that is no number; nothing was published in its place.',
  'outbox-full': 'Messages that waited for the broker; the oldest went (`mqtt.outbox`).',
  'set-aside':
    'The broker closed the connection twice when the message was sent, or the message is too large for it.',
  'refused-out': 'The broker refused a message of the agent.',
  'oversize-in': 'The broker had a packet for the agent that is too large to take.',
};

/** Drops that break a promise of the agent, or that only its owner can end: the state is `degraded` for some minutes. */
export const DEGRADING: ReadonlySet<DropReason> = new Set<DropReason>([
  'overload',
  'absurd-time',
  'future',
  'store-full',
  'disk-full',
  'row-refused',
  'journal-damaged',
  'forecast-not-finite',
  'outbox-full',
  'set-aside',
  'refused-out',
  'oversize-in',
]);

export type Counts = Readonly<Record<string, number>>;

/** Reason by reason. */
export function summed(...all: readonly Counts[]): Record<string, number> {
  const total: Record<string, number> = {};
  for (const counts of all)
    for (const [reason, count] of Object.entries(counts)) total[reason] = (total[reason] ?? 0) + count;
  return total;
}
