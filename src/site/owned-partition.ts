/**
 * A partition that this member owns: takes it over, reads its log, publishes its forecasts and saves checkpoints, until it is
 * released or lost.
 *
 * Before it publishes forecasts, the owner writes their time into the manifest. The write of a former owner that resumes after a
 * pause is refused, so it publishes nothing. The same write confirms the forecasts that were sent earlier on the same connection. A
 * new owner publishes all unconfirmed forecasts: if an owner dies between the write and the publication, nothing is lost, and at most
 * the forecasts of one second are published again, with a higher epoch.
 */
import type { ConsumerMessages, JsMsg } from '@nats-io/jetstream';
import { errorFields, errorText, GatecastError } from '../errors.ts';
import type { Forecast } from '../forecast/forecast.ts';
import type { Model } from '../forecast/model.ts';
import type { Logger } from '../log.ts';
import { type Clock, pause } from '../system/clock.ts';
import { type Batch, CONFIGURED, decodeBatch, type ModelRef } from './batch.ts';
import { type Manifest, ManifestFile, PartitionLost } from './manifest.ts';
import { readRecord, type SiteModels } from './models.ts';
import { forecastSubject, inputStream, lastSubject, partitionOf, scoresSubject } from './names.ts';
import { removeCheckpoint, type Site } from './nats.ts';
import { readObject } from './object.ts';
import { Partition, type PartitionOptions, type PartitionShares } from './partition.ts';
import { type PartitionScores, scoredStreams } from './scores.ts';
import type { Turns } from './turns.ts';

export interface OwnedPartitionParts {
  readonly site: Site;
  readonly partition: number;
  /** Unique for each run of a member. */
  readonly owner: string;
  /** That of the config, for partitions that were never given another one. */
  readonly model: Model | null;
  readonly models: Pick<SiteModels, 'of'>;
  readonly clock: Clock;
  readonly log: Logger;
  /** How often a checkpoint is saved, ms. */
  readonly checkpointMs: () => number;
  /** The message of a forecast. @param issuedMs time of the log */
  readonly text: (forecast: Forecast, issuedMs: number, model: Model | null) => string | null;
  /** Forecasts that have been published, for further outputs. */
  readonly published: (forecasts: readonly Forecast[], issuedMs: number, model: Model | null) => void;
  /** Yields to the event loop. */
  readonly breathe: () => Promise<void>;
  /** Few checkpoints at a time are in memory. */
  readonly loads: Turns;
  readonly shares: PartitionShares;
}

/** Counts of one partition, for metrics and status. */
export interface PartitionState {
  readonly partition: number;
  readonly epoch: number;
  readonly seq: number;
  /** Messages in the log that are not taken yet. */
  readonly lag: number;
  /** Name of the last checkpoint; null: there is none. */
  readonly object: string | null;
  readonly streams: number;
  /** Number of the model that forecasts; 0: that of the config. */
  readonly model: number;
  readonly ready: boolean;
}

export interface PartitionCounts {
  samples: number;
  forecasts: number;
  /** Forecasts published although they may have been published before: after a takeover, or a lost connection. */
  repeated: number;
  checkpoints: number;
  checkpointBytes: number;
  /** Messages that the log no longer had when they were to be read. */
  lostMessages: number;
  unreadable: number;
  /** Messages that were left out because taking them failed twice. */
  failed: number;
  /** Readings that were not used, by reason. */
  refused: Record<string, number>;
}

export const noCounts = (): PartitionCounts => ({
  samples: 0,
  forecasts: 0,
  repeated: 0,
  checkpoints: 0,
  checkpointBytes: 0,
  lostMessages: 0,
  unreadable: 0,
  failed: 0,
  refused: {},
});

export function add(total: PartitionCounts, one: PartitionCounts): void {
  const { refused, ...counts } = one;
  for (const key of Object.keys(counts) as (keyof typeof counts)[]) total[key] += counts[key];
  for (const [reason, count] of Object.entries(refused))
    total.refused[reason] = (total.refused[reason] ?? 0) + count;
}

/** The forecasts of one time of the log, and the connection that they were sent over. */
interface Sent {
  readonly issuedMs: number;
  /** With their subjects; empty once the record says that they have reached the server. */
  readonly messages: readonly (readonly [subject: string, text: string])[];
  readonly connection: string | null;
}

/** Messages of the log that are fetched ahead. */
const AHEAD = 256;
/** More messages are requested as soon as this many have been taken, so that a request is always open. */
const ASKED_AT_ONCE = 8;
/** A server without messages says within this time that it is alive, ms; it counts as gone after some times this without a word. */
const HEARTBEAT_MS = 1500;
const MISSED_HEARTBEATS = 3;
/** A request for messages is repeated after this time, ms. */
const REQUEST_MS = 5000;
/** Pause before the log is opened again, ms. */
const RECONNECT_MS = 500;
/** Pause before a failed checkpoint is tried again, ms. */
const RETRY_MS = 10_000;

export class OwnedPartition {
  readonly counts = noCounts();
  /** Settles when the partition is released, lost or has failed; never rejects. */
  readonly done: Promise<void>;
  /** Another member has taken it over. */
  lost = false;
  /** What keeps it from being served now, or made it end. */
  fault: string | null = null;
  private manifestFile: ManifestFile | null = null;
  private partition: Partition | null = null;
  private stopping = false;
  private saveAtEnd = true;
  /** Whether a message is being taken: the next ones wait meanwhile. */
  private isTaking = false;
  /** When the server of the log was last heard of, monotonic ms. */
  private heardMs = 0;
  private lag = 0;
  private lastSeq = 0;
  /** Number of the last message that could not be taken; 0: none. */
  private failedSeq = 0;
  /** Numbers of the messages that are left out because taking them failed twice. */
  private readonly leftOut = new Set<number>();
  private savedAtMs: number;
  private saving: Promise<void> | null = null;
  private ends: (() => void)[] = [];
  /** So that a release does not wait until the checkpoint is loaded. */
  private readonly released = new Promise<null>((resolve) => {
    this.ends.push(() => resolve(null));
  });
  private sent: Sent = { issuedMs: 0, messages: [], connection: null };

  constructor(private readonly parts: OwnedPartitionParts) {
    this.savedAtMs = parts.clock.monotonic();
    this.done = this.run();
  }

  get state(): PartitionState {
    const manifest = this.manifestFile?.manifest;
    return {
      partition: this.parts.partition,
      epoch: manifest?.epoch ?? 0,
      seq: this.partition?.seq ?? 0,
      lag: this.lag,
      object: manifest?.object ?? null,
      streams: this.partition?.size ?? 0,
      model: this.modelRef.number,
      ready: this.partition !== null,
    };
  }

  get modelRef(): ModelRef {
    return this.partition?.modelRef ?? CONFIGURED;
  }

  /** Takes no further message. @param save saves a checkpoint first, so that the next owner has nothing to repeat */
  release(save: boolean): Promise<void> {
    this.saveAtEnd = save;
    this.stopping = true;
    for (const end of this.ends.splice(0)) end();
    return this.done;
  }

  private async run(): Promise<void> {
    const { partition, log } = this.parts;
    try {
      await this.serve();
      if (this.saveAtEnd) await this.finish();
    } catch (error) {
      this.lost = error instanceof PartitionLost;
      if (!this.lost) this.fault = errorText(error);
      // While it is given back, the next owner takes over all the same.
      log[this.lost || this.stopping ? 'warn' : 'error']('partition given up', {
        partition,
        ...errorFields(error),
      });
    } finally {
      this.stopping = true;
      for (const end of this.ends.splice(0)) end();
      await this.saving?.catch(() => {});
    }
  }

  private async serve(): Promise<void> {
    const { site, partition, owner, log, clock } = this.parts;
    const startedMs = clock.monotonic();
    const file = await ManifestFile.take(site.state, partition, owner);
    this.manifestFile = file;
    this.sent = { issuedMs: file.manifest.publishedMs, messages: [], connection: null };
    let loaded = await this.loadInTurn(file);
    if (loaded === null) return;
    this.answerRequests(file);
    log.info('partition taken over', {
      partition,
      epoch: file.manifest.epoch,
      streams: loaded.size,
      seq: loaded.seq,
      ms: Math.round(clock.monotonic() - startedMs),
    });
    while (!this.stopping) {
      try {
        await this.checkLog(loaded);
        await this.read(loaded, file);
      } catch (error) {
        if (this.stopping || error instanceof PartitionLost || isStreamGone(error)) throw error;
        if (this.fault === null) log.warn('the log is read again', { partition, ...errorFields(error) });
        this.fault = errorText(error);
        await pause(this.parts.clock, RECONNECT_MS);
        if (!(error instanceof NotTaken)) continue;
        loaded = await this.loadInTurn(file);
        if (loaded === null) return;
      }
    }
  }

  /** @returns null if the partition is to be released */
  private async loadInTurn(file: ManifestFile): Promise<Partition | null> {
    const loading = this.parts.loads.take(async () => (this.stopping ? null : this.load(file)));
    const loaded = await Promise.race([loading, this.released]);
    if (loaded === null || this.stopping) return null;
    // Counters never fall; messages that are read again count again, as after a takeover.
    loaded.samples = this.counts.samples;
    Object.assign(loaded.refused, this.counts.refused);
    this.partition = loaded;
    this.lastSeq = loaded.seq;
    return loaded;
  }

  /** Until it is released, or the server ends the consumer: it forgets consumers when it is restarted. */
  private async read(loaded: Partition, file: ManifestFile): Promise<void> {
    const { site, partition } = this.parts;
    const consumer = await site.js.consumers.get(inputStream(site.name, partition), {
      opt_start_seq: loaded.seq + 1,
    });
    const messages = await consumer.consume({
      max_messages: AHEAD,
      threshold_messages: AHEAD - ASKED_AT_ONCE,
      expires: REQUEST_MS,
      idle_heartbeat: HEARTBEAT_MS,
      abort_on_missing_resource: true,
    });
    const end = (): void => messages.stop();
    this.ends.push(end);
    void this.watch(messages);
    if (this.stopping) end();
    for await (const message of messages) {
      if (this.stopping) break;
      this.fault = null;
      this.isTaking = true;
      await this.take(loaded, file, message).finally(() => {
        this.isTaking = false;
        this.heardMs = this.parts.clock.monotonic();
      });
    }
    this.ends = this.ends.filter((one) => one !== end);
    const ended = await messages.closed();
    if (!this.stopping) throw ended ?? new GatecastError('SITE_FAILED', 'The log of the partition ended.');
  }

  /**
   * Ends a consumer whose server is gone, so that another server gets a new one. The client would look for the old one until its
   * server is back.
   */
  private async watch(messages: ConsumerMessages): Promise<void> {
    const { clock } = this.parts;
    this.heardMs = clock.monotonic();
    const look = (): void => {
      const silentMs = clock.monotonic() - this.heardMs;
      if (!this.isTaking && silentMs >= MISSED_HEARTBEATS * HEARTBEAT_MS) messages.stop();
      cancel = clock.after(HEARTBEAT_MS, look);
    };
    let cancel = clock.after(HEARTBEAT_MS, look);
    for await (const { type } of messages.status())
      if (type === 'heartbeat') this.heardMs = clock.monotonic();
    cancel();
  }

  /**
   * A log that was deleted and created again counts from 1. A server that was killed may have lost its last messages and given
   * their numbers to new ones. In both cases the message with the number of the state is missing, or was stored later than the one
   * that was read: reading then continues with the first message that is newer.
   */
  private async checkLog(loaded: Partition): Promise<void> {
    const { site, partition, log } = this.parts;
    const { seq, loggedMs } = loaded;
    const { state } = await site.jsm.streams.info(inputStream(site.name, partition));
    if (seq === 0 || (state.last_seq >= seq && state.first_seq > seq)) return;
    let known = Math.min(state.first_seq, seq) - 1;
    let newer = Math.min(state.last_seq, seq) + 1;
    if (newer > seq && (await this.isKnown(seq, loggedMs))) return;
    while (newer - known > 1) {
      const middle = Math.floor((known + newer) / 2);
      if (await this.isKnown(middle, loggedMs)) known = middle;
      else newer = middle;
    }
    if (known >= seq) return;
    log.error('the log of the partition has lost messages that were read', { partition, seq, from: newer });
    loaded.seq = this.lastSeq = known;
  }

  /** Whether a message was stored no later than the last one that was taken. One that was deleted counts as known. */
  private async isKnown(seq: number, loggedMs: number): Promise<boolean> {
    const { site, partition } = this.parts;
    const message = await site.jsm.streams.getMessage(inputStream(site.name, partition), { seq });
    return message === null || Math.floor(message.time.getTime()) <= loggedMs;
  }

  private async load(file: ManifestFile): Promise<Partition> {
    const { site, partition, model, log, clock } = this.parts;
    const { object } = file.manifest;
    if (object === null) return this.empty();
    const bytes = await readObject(site.checkpoints, object, clock);
    try {
      if (bytes === null)
        throw new GatecastError('SITE_FAILED', `The checkpoint ${object} is missing or damaged.`);
      const restored = await Partition.restore(bytes, model, this.options);
      if (restored.seq === 0) log.warn('states rebuilt from the log', { partition, reason: 'another model' });
      return restored;
    } catch (error) {
      if (error instanceof GatecastError && error.code === 'SITE_UNREACHABLE') throw error;
      log.error('states rebuilt from the log', { partition, ...errorFields(error) });
      return this.empty();
    }
  }

  private get options(): Required<PartitionOptions> {
    const { models, site, partition, shares } = this.parts;
    return {
      openModel: (ref) => models.of(ref),
      isOwn: (stream) => partitionOf(stream, site.partitions) === partition,
      shares,
    };
  }

  /** Without a checkpoint. A log that has lost its beginning may have lost the message that names the model, too. */
  private async empty(): Promise<Partition> {
    const { site, partition, model } = this.parts;
    const { state } = await site.jsm.streams.info(inputStream(site.name, partition));
    const { record } = state.first_seq > 1 ? await readRecord(site) : { record: null };
    if (record === null || !record.announced) return new Partition(model, this.options);
    const ref: ModelRef = { number: record.number, id: record.id };
    return new Partition(await this.options.openModel(ref), this.options, ref);
  }

  private async take(loaded: Partition, file: ManifestFile, message: JsMsg): Promise<void> {
    const { seq, info } = message;
    const loggedMs = Math.floor(info.timestampNanos / 1e6);
    this.lag = info.pending;
    if (seq <= loaded.seq) return;
    if (this.lastSeq > 0 && seq > this.lastSeq + 1) this.missing(seq);
    const forecasts = await this.forecast(loaded, seq, loggedMs, message.data);
    this.lastSeq = seq;
    this.counts.samples = loaded.samples;
    this.counts.refused = loaded.refused;
    if (forecasts.length > 0) await this.publish(loaded, file, forecasts);
    if (this.isSaveDue()) await this.save();
  }

  /**
   * @throws NotTaken when it fails: the states are then made again from the last checkpoint, and the message is tried once more, then
   *   left out
   */
  private async forecast(
    loaded: Partition,
    seq: number,
    loggedMs: number,
    bytes: Uint8Array,
  ): Promise<Forecast[]> {
    let batch: Batch | null = null;
    try {
      if (!this.leftOut.has(seq)) {
        batch = decodeBatch(bytes);
        return await loaded.take(seq, loggedMs, batch, this.parts.breathe);
      }
    } catch (error) {
      // Without the model the partition stops here and tries again: the forecasts must not depend on who reads the log.
      if (batch?.model !== undefined) throw error;
      const isFirst = batch !== null && this.failedSeq !== seq;
      if (!isFirst) this.leaveOut(seq, batch === null ? 'unreadable' : 'failed', error);
      this.failedSeq = seq;
      if (batch !== null) throw new NotTaken(errorText(error), { cause: error });
    }
    loaded.seq = seq;
    loaded.loggedMs = loggedMs;
    return [];
  }

  private leaveOut(seq: number, reason: 'unreadable' | 'failed', error: unknown): void {
    const { partition, log } = this.parts;
    if (reason === 'failed') {
      this.counts.failed++;
      this.leftOut.add(seq);
    } else this.counts.unreadable++;
    if (reason === 'failed' || this.counts.unreadable === 1)
      log.error('message of the log not taken', { partition, seq, ...errorFields(error) });
  }

  private missing(seq: number): void {
    const { partition, log } = this.parts;
    const lost = seq - this.lastSeq - 1;
    this.counts.lostMessages += lost;
    log.error('messages of the log are lost', { partition, messages: lost, from: this.lastSeq + 1 });
  }

  private async publish(
    loaded: Partition,
    file: ManifestFile,
    forecasts: readonly Forecast[],
  ): Promise<void> {
    const { site, text, published } = this.parts;
    const { epoch, markedMs } = file.manifest;
    const { tickMs: issuedMs, model } = loaded;
    const messages: [subject: string, text: string][] = [];
    for (const forecast of forecasts) {
      const made = text(forecast, issuedMs, model);
      if (made === null) continue;
      loaded.setLast(forecast.stream, made);
      messages.push([forecastSubject(site.name, forecast.stream), withEpoch(made, epoch)]);
    }
    if (issuedMs <= this.sent.issuedMs) return;
    await this.mark(file, issuedMs);
    this.send({ issuedMs, messages, connection: connectionOf(site.nc) });
    this.counts.forecasts += messages.length;
    if (issuedMs <= markedMs) this.counts.repeated += messages.length;
    published(forecasts, issuedMs, model);
  }

  /** Until it is known whether the mark was written: while the server is away, nothing can be published anyway. */
  private async mark(file: ManifestFile, markedMs: number): Promise<void> {
    for (;;) {
      try {
        await this.record(file, { markedMs });
        return;
      } catch (error) {
        if (error instanceof PartitionLost || this.stopping) throw error;
        await pause(this.parts.clock, 500);
      }
    }
  }

  private send(sent: Sent): void {
    this.sent = sent;
    for (const [subject, text] of sent.messages) this.parts.site.nc.publish(subject, text);
  }

  /**
   * Writes the record. The server handles the messages of a connection in order: what was sent before on the same one has arrived
   * when the record is written. After a lost connection the forecasts that it may have taken with it are sent again.
   */
  private async record(file: ManifestFile, change: Partial<Manifest>): Promise<void> {
    const { nc } = this.parts.site;
    for (;;) {
      const { messages, connection } = this.sent;
      if (messages.length > 0 && !isSame(connection, connectionOf(nc))) {
        this.send({ ...this.sent, connection: connectionOf(nc) });
        this.counts.repeated += messages.length;
      }
      const { sent } = this;
      await file.write({ ...change, publishedMs: sent.issuedMs });
      if (sent.messages.length === 0) return;
      if (!isSame(sent.connection, connectionOf(nc))) continue;
      if (this.sent === sent) this.sent = { ...sent, messages: [] };
      return;
    }
  }

  private isSaveDue(): boolean {
    const { clock, checkpointMs } = this.parts;
    const isWaiting = this.partition?.isWaiting === true;
    return this.saving === null && !isWaiting && clock.monotonic() - this.savedAtMs >= checkpointMs();
  }

  /** The states are collected before this returns; they are sent while further messages are taken, but at the end. */
  private async save(): Promise<void> {
    const { partition: loaded, manifestFile: file } = this;
    const { clock, breathe, log, partition } = this.parts;
    await this.saving;
    if (loaded === null || file === null || loaded.isWaiting || loaded.seq === file.manifest.seq) return;
    this.savedAtMs = clock.monotonic();
    const { seq, tickMs } = loaded;
    const bytes = await loaded.checkpoint(breathe);
    const { stateHash } = loaded;
    this.saving = this.store(file, bytes, { seq, savedMs: tickMs, model: stateHash })
      .catch((error) => {
        this.savedAtMs = clock.monotonic() - this.parts.checkpointMs() + RETRY_MS;
        log[this.stopping ? 'warn' : 'error']('checkpoint not saved', { partition, ...errorFields(error) });
        if (!(error instanceof PartitionLost)) return;
        this.lost = true;
        void this.release(false);
      })
      .finally(() => {
        this.saving = null;
      });
    if (this.stopping) await this.saving;
  }

  /** Leaves nothing for the next owner to repeat. */
  private async finish(): Promise<void> {
    await this.save();
    const { manifestFile: file } = this;
    if (file !== null && this.sent.messages.length > 0) await this.record(file, {});
  }

  private async store(
    file: ManifestFile,
    bytes: Uint8Array,
    saved: Pick<Manifest, 'seq' | 'savedMs' | 'model'>,
  ): Promise<void> {
    const { site, partition } = this.parts;
    const { epoch, object: former } = file.manifest;
    const object = `${partition}.${epoch}.${saved.seq}`;
    await site.checkpoints.putBlob({ name: object }, bytes);
    try {
      await this.record(file, { ...saved, object });
    } catch (error) {
      if (error instanceof PartitionLost) await removeCheckpoint(site, object);
      throw error;
    }
    this.counts.checkpoints++;
    this.counts.checkpointBytes += bytes.length;
    // States that are made again from this checkpoint do not read these messages again.
    for (const seq of this.leftOut) if (seq <= saved.seq) this.leftOut.delete(seq);
    if (former !== null && former !== object) await removeCheckpoint(site, former);
  }

  private answerRequests(file: ManifestFile): void {
    const { site, partition } = this.parts;
    const subscription = site.nc.subscribe(lastSubject(site.name, partition), {
      callback: (error, message) => {
        if (error !== null) return;
        const stream = message.string();
        const last = this.partition?.last(stream);
        message.respond(
          typeof last === 'string'
            ? withEpoch(last, file.manifest.epoch)
            : JSON.stringify({ v: 1, stream, error: last === null ? 'no forecast yet' : 'unknown stream' }),
        );
      },
    });
    const scores = site.nc.subscribe(scoresSubject(site.name, partition), {
      callback: (error, message) => {
        if (error !== null) return;
        const answer: PartitionScores = {
          model: this.modelRef.number,
          scores: this.partition?.scores(scoredStreams(site.partitions)) ?? [],
        };
        message.respond(JSON.stringify(answer));
      },
    });
    this.ends.push(
      () => subscription.unsubscribe(),
      () => scores.unsubscribe(),
    );
  }
}

/** The engine failed on a message: the states may be half changed. */
class NotTaken extends Error {}

/** Adds a key at the end of the text of a JSON object. */
const withEpoch = (text: string, epoch: number): string => `${text.slice(0, -1)},"epoch":${epoch}}`;

/** Identifies a connection; null while there is none. */
const connectionOf = ({ info }: Site['nc']): string | null =>
  info === undefined ? null : `${info.server_id}/${info.client_id}`;
const isSame = (one: string | null, other: string | null): boolean => one !== null && one === other;

const isStreamGone = (error: unknown): boolean =>
  (error as { code?: unknown } | null)?.code === STREAM_NOT_FOUND;
const STREAM_NOT_FOUND = 10059;
