/**
 * Live scores for the probation of a model over the group: each owner answers for a sample of its streams, so that a look at a site
 * of any size is a few hundred streams.
 */
import type { NetworkScore } from '../forecast/track.ts';
import { scoresSubject } from './names.ts';
import type { Site } from './nats.ts';

/** At one lead of one stream. */
export interface StreamScore extends NetworkScore {
  readonly stream: string;
}

/** What the owner of a partition answers. */
export interface PartitionScores {
  /** Number of the model that the scores are of. */
  readonly model: number;
  readonly scores: readonly StreamScore[];
}

/** Streams of a site that are scored, and the fewest of a partition. */
const SCORED = 256;
const ANSWER_MS = 3000;

export const scoredStreams = (partitions: number): number => Math.max(1, Math.ceil(SCORED / partitions));

interface GroupScores {
  readonly scores: readonly StreamScore[];
  /** Whether most partitions are forecast by the model, of those that have an owner. */
  readonly inUse: boolean;
}

/**
 * Scores of a model, from the partitions that it forecasts. A partition without an owner, or with another model, has none.
 * @param number of the model
 */
export async function groupScores(
  { nc, name, partitions }: Pick<Site, 'nc' | 'name' | 'partitions'>,
  number: number,
): Promise<GroupScores> {
  const answers = await Promise.allSettled(
    Array.from({ length: partitions }, async (_, partition) => {
      const answer = await nc.request(scoresSubject(name, partition), '', { timeout: ANSWER_MS });
      return answer.json<PartitionScores>();
    }),
  );
  const found = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
  const own = found.filter(({ model }) => model === number);
  return { scores: own.flatMap(({ scores }) => scores), inUse: 2 * own.length > found.length };
}
