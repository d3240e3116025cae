/**
 * Names of everything that a site keeps in JetStream, and which partition a stream belongs to. The hash must never change,
 * because the readings of a stream stay in the partition that the hash gave.
 */

/** Most partitions of a site; each is a JetStream stream of its own. */
export const MOST_PARTITIONS = 1024;

export const inputStream = (site: string, partition: number): string => `gatecast-${site}-in-${partition}`;
export const inputSubject = (site: string, partition: number): string => `gatecast.${site}.in.${partition}`;
/** Requests for the newest forecast of a stream, answered by the owner of the partition. */
export const lastSubject = (site: string, partition: number): string => `gatecast.${site}.last.${partition}`;
/** Requests for the live scores of some streams, answered by the owner of the partition. */
export const scoresSubject = (site: string, partition: number): string =>
  `gatecast.${site}.scores.${partition}`;
/** Requests for a fine-tuning, answered by the worker that holds the tuning lease. */
export const tuneSubject = (site: string): string => `gatecast.${site}.tune`;
export const forecastSubject = (site: string, stream: string): string =>
  `gatecast.${site}.forecast.${subjectLevels(stream)}`;

export const bucketNames = (site: string) => ({
  /** The members that are online; entries expire. */
  members: `gatecast-${site}-members`,
  /** The owner of each partition; entries expire. */
  leases: `gatecast-${site}-leases`,
  /** The site's settings, the manifest of each partition, and which members are drained. */
  state: `gatecast-${site}-state`,
  /** Object store of the checkpoints. */
  checkpoints: `gatecast-${site}-checkpoints`,
  /** Object store of the models. */
  models: `gatecast-${site}-models`,
});

export const SETTINGS_KEY = 'settings';
/** The newest model of the site. */
export const MODEL_KEY = 'model';
/** The state of fine-tuning and probation, and the lease of the worker that does both. */
export const TUNING_KEY = 'tuning';
/** Key of a partition, in the buckets of leases and of states. */
export const partitionKey = (partition: number): string => `p.${partition}`;
export type Role = 'bridge' | 'worker';
/** @param member an id, or `*` for all */
export const memberKey = (role: Role, member: string): string => `${role}.${member}`;
export const memberOf = (key: string): string => key.slice(key.indexOf('.') + 1);
export const drainKey = (member: string): string => `drain.${member}`;

/** Stream names may hold characters that end a subject's level or are wildcards; those are percent-encoded. */
function subjectLevels(stream: string): string {
  return stream
    .split('/')
    .map((level) => level.replace(/[\s.*>%\p{Cc}]/gu, percentEncoded))
    .join('.');
}

const percentEncoded = (character: string): string =>
  [...new TextEncoder().encode(character)]
    .map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`)
    .join('');

export const partitionOf = (stream: string, partitions: number): number => hash32(stream) % partitions;

/** FNV-1a of the UTF-16 code units, then the finaliser of MurmurHash3: also the low bits are well mixed. */
export function hash32(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
