/**
 * The record of a partition that decides which member may publish and save. A write succeeds only against the revision that was
 * read. A new owner first writes the record with the next epoch; every later write of a former owner fails.
 */
import type { KV } from '@nats-io/kv';
import { GatecastError } from '../errors.ts';
import { partitionKey } from './names.ts';
import { entryValue, isConflict, writeKey } from './nats.ts';

export interface Manifest {
  /** Counts the owners of the partition. */
  readonly epoch: number;
  readonly owner: string;
  /** The checkpoint holds every message up to this one; 0: there is none. */
  readonly seq: number;
  /** Name of the checkpoint in the object store; null: none. */
  readonly object: string | null;
  /** When the checkpoint was made, ms of the log; 0: none. */
  readonly savedMs: number;
  /** The forecasts of this time of the log and before have reached the server, ms. */
  readonly publishedMs: number;
  /** An owner has begun to publish the forecasts of this time of the log, ms: some of them may have reached the server. */
  readonly markedMs: number;
  /** Model and format of the states in the checkpoint. */
  readonly model: string;
}

const NEW: Manifest = {
  epoch: 0,
  owner: '',
  seq: 0,
  object: null,
  savedMs: 0,
  publishedMs: 0,
  markedMs: 0,
  model: '',
};

/** Another member has taken the partition over. */
export class PartitionLost extends GatecastError {
  constructor(partition: number, what: string) {
    super('SITE_FAILED', `Partition ${partition} has another owner: ${what}.`);
  }
}

export class ManifestFile {
  /** Writes go one after the other: each needs the revision of the one before. */
  private writing: Promise<void> = Promise.resolve();

  private constructor(
    private readonly bucket: KV,
    private readonly partition: number,
    public manifest: Manifest,
    private revision: number,
  ) {}

  /** Takes the partition over: former owners can publish and save no more. @throws PartitionLost when another one is faster */
  static async take(bucket: KV, partition: number, owner: string): Promise<ManifestFile> {
    const entry = await bucket.get(partitionKey(partition));
    const found = { ...NEW, ...entryValue<Partial<Manifest>>(entry) };
    const file = new ManifestFile(bucket, partition, found, entry?.revision ?? 0);
    await file.write({ epoch: found.epoch + 1, owner });
    return file;
  }

  /** @throws PartitionLost; after any other error it may or may not have been written, and the next call finds out */
  write(change: Partial<Manifest>): Promise<void> {
    const written = this.writing.then(() => this.update(change));
    this.writing = written.catch(() => {});
    return written;
  }

  private async update(change: Partial<Manifest>): Promise<void> {
    const next = { ...this.manifest, ...change };
    try {
      const key = partitionKey(this.partition);
      this.revision = await writeKey(this.bucket, key, JSON.stringify(next), this.revision);
      this.manifest = next;
    } catch (error) {
      if (!isConflict(error)) throw error;
      await this.refresh(next);
    }
  }

  /** After a conflict: the write may be an own earlier one whose answer was lost. Reads the record to find out. */
  private async refresh(next: Manifest): Promise<void> {
    const key = partitionKey(this.partition);
    const entry = await this.bucket.get(key);
    const found = entryValue<Manifest>(entry);
    if (entry === null || found?.epoch !== next.epoch || found.owner !== next.owner)
      throw new PartitionLost(this.partition, found === null ? 'its record is gone' : found.owner);
    try {
      this.revision = await this.bucket.update(key, JSON.stringify(next), entry.revision);
    } catch (error) {
      if (isConflict(error)) throw new PartitionLost(this.partition, 'its record was written');
      throw error;
    }
    this.manifest = next;
  }
}
