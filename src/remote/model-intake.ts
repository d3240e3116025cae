/**
 * Receives the files of a pushed model, in chunks over MQTT or from an https server, checks them, and saves the model in the
 * registry. One model at a time. A transfer resumes after a restart: the stored chunks are verified by their hashes.
 */
import { readdirSync, readFileSync, rmSync, statfsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { errorText } from '../errors.ts';
import type { Logger } from '../log.ts';
import { MANIFEST_FILE } from '../model/manifest.ts';
import type { FeatureSizes } from '../model/pack.ts';
import type { ModelRegistry } from '../model/registry.ts';
import type { Clock } from '../system/clock.ts';
import { entriesOf, makeFolder, PRIVATE_FOLDER, readBounded, sha256 } from '../system/files.ts';
import { CHUNK_BYTES, type Code, chunksOf, type Have, type ModelClaim, type Problem } from './contract.ts';
import { checkModel, type RunTrial } from './model-check.ts';
import { download, fileUrl } from './model-download.ts';
import { ModelPart, placesOf } from './model-part.ts';
import { problem } from './verify.ts';

/** Why a model is refused. */
export interface ModelRefusal {
  readonly code: Code;
  readonly problem: Problem;
}

interface ModelProgress {
  readonly model: string;
  readonly received: number;
  readonly bytes: number;
}

/** Interface of remote config to pushed models. */
export interface Models {
  /** Whether exactly this model is in the registry, undamaged. */
  isHere(claim: ModelClaim): boolean;
  /** Why the transfer cannot start; null if it can. */
  refusal(claim: ModelClaim): ModelRefusal | null;
  /** Starts or resumes the transfer. Ends an earlier transfer without calling its `done`. */
  receive(claim: ModelClaim, before: BeforeCheck, done: (refused: ModelRefusal | null) => void): void;
  /** Ends the transfer and removes the received data. */
  cancel(): void;
  progress(): ModelProgress | null;
  remove(name: string): void;
  /** Removes the remains of interrupted transfers, except the given one. */
  tidy(keep: ModelClaim | null): void;
  /** Ends the transfer and keeps the received data. */
  stop(): Promise<void>;
}

/** Called when all bytes have arrived. @returns why the model is not checked, or null */
type BeforeCheck = () => ModelRefusal | null;

export interface ModelIntakeParts {
  /** Folder for partly received models. */
  readonly folder: string;
  readonly registry: Pick<ModelRegistry, 'dataFolder' | 'has' | 'folderOf' | 'open' | 'add' | 'remove'>;
  readonly features: FeatureSizes;
  readonly clock: Clock;
  readonly log: Logger;
  readonly have: (name: string, have: Have) => void;
  /** `wantsChunks` has changed. */
  readonly changed: () => void;
  /** PEM file of the authorities trusted for https sources; omitted: Node's built-in ones. */
  readonly ca?: string | undefined;
  /** Computes the golden vector; replaced in tests. */
  readonly trial?: RunTrial;
  /** Free bytes of the disk that holds a folder. */
  readonly freeBytes?: (folder: string) => number;
}

/** Disk space to leave free, bytes. */
const SPARE_BYTES = 16 * 1024 * 1024;
/** Intervals of requests for missing chunks, while chunks arrive and while none arrive, ms. */
const ASK_MS = 500;
const ASK_AGAIN_MS = 5000;
/** Maximum number of chunks processed per second; further ones are dropped and requested again. */
const MOST_A_SECOND = 64;
/** Maximum number of chunks waiting to be written. */
const MOST_WAITING = 32;
const MOST_RANGES = 64;
/** A transfer without data for this long is aborted, ms. */
const GIVE_UP_MS = 24 * 3_600_000;
const MAX_CA_BYTES = 1024 * 1024;
const DOWNLOAD_ATTEMPTS = 6;
const FIRST_PAUSE_MS = 2000;

export class ModelIntake implements Models {
  private transfer: Transfer | null = null;
  /** Resolves when ended transfers have closed their files. */
  private ending: Promise<void> = Promise.resolve();
  /** By model that was found undamaged: the state of its files at that time. */
  private readonly sound = new Map<string, string>();

  constructor(private readonly parts: ModelIntakeParts) {}

  /** Whether chunks are expected on MQTT. */
  get wantsChunks(): boolean {
    return this.transfer?.claim.source === 'mqtt';
  }

  isHere({ name, manifest_sha256 }: ModelClaim): boolean {
    const { registry } = this.parts;
    try {
      if (!registry.has(name)) return false;
      const manifest = readFileSync(join(registry.folderOf(name), MANIFEST_FILE));
      return sha256(manifest) === manifest_sha256 && this.isSound(name);
    } catch {
      return false;
    }
  }

  refusal(claim: ModelClaim): ModelRefusal | null {
    const { registry, folder, freeBytes = freeOf } = this.parts;
    const { name, manifest_sha256, bytes } = claim;
    if (this.isHere(claim)) return null;
    if (registry.has(name) && this.isSound(name))
      return refusalOf(400, 'model.name', `another model '${name}' is on this gateway`, 'use another name');
    try {
      makeFolder(folder, PRIVATE_FOLDER);
      const held = this.transfer?.claim.manifest_sha256 === manifest_sha256 ? this.transfer.received : 0;
      const needed = 2 * bytes - held + SPARE_BYTES;
      const free = freeBytes(folder);
      if (free >= needed) return null;
      const text = `needs ${mb(needed)} MB of free disk space, ${mb(free)} MB are available`;
      return refusalOf(503, 'model.bytes', text, 'free disk space on the gateway');
    } catch (error) {
      return cannotStore(error);
    }
  }

  receive(claim: ModelClaim, before: BeforeCheck, done: (refused: ModelRefusal | null) => void): void {
    this.end(this.transfer?.claim.manifest_sha256 !== claim.manifest_sha256);
    const transfer = new Transfer(this.parts, claim, before, (refused) => {
      if (this.transfer !== transfer) return;
      this.transfer = null;
      this.parts.changed();
      // Its files were checked before they were written.
      if (refused === null) this.markSound(claim.name);
      done(refused);
    });
    this.transfer = transfer;
    void this.ending.then(() => transfer.begin());
    this.parts.changed();
  }

  /** Handles a received chunk. */
  chunk(name: string, number: number, payload: Uint8Array): void {
    this.transfer?.chunk(name, number, payload);
  }

  cancel(): void {
    this.end(true);
  }

  progress(): ModelProgress | null {
    if (this.transfer === null) return null;
    const { claim, received } = this.transfer;
    return { model: claim.name, received, bytes: claim.bytes };
  }

  remove(name: string): void {
    const { registry } = this.parts;
    registry.remove(name);
    removeHalfWritten(registry.dataFolder, name);
  }

  tidy(keep: ModelClaim | null): void {
    for (const name of entriesOf(this.parts.folder))
      if (keep === null || name !== partName(keep))
        rmSync(join(this.parts.folder, name), { recursive: true, force: true });
  }

  async stop(): Promise<void> {
    this.end(false);
    await this.ending;
  }

  /** Reading and hashing a model blocks the agent for tens of ms, so it is done once for each state of its files. */
  private isSound(name: string): boolean {
    try {
      if (this.sound.get(name) === this.stateOf(name)) return true;
      this.parts.registry.open(name);
      this.markSound(name);
      return true;
    } catch {
      this.sound.delete(name);
      return false;
    }
  }

  private markSound(name: string): void {
    try {
      this.sound.set(name, this.stateOf(name));
    } catch {
      this.sound.delete(name);
    }
  }

  /** Changes whenever a file of the model is written. */
  private stateOf(name: string): string {
    const folder = this.parts.registry.folderOf(name);
    return readdirSync(folder)
      .sort()
      .map((file) => {
        const { ino, size, mtimeMs, ctimeMs } = statSync(join(folder, file));
        return [file, ino, size, mtimeMs, ctimeMs].join();
      })
      .join('\n');
  }

  private end(remove: boolean): void {
    const { transfer } = this;
    if (transfer === null) return;
    this.transfer = null;
    this.ending = this.ending.then(() => transfer.end(remove));
    this.parts.changed();
  }
}

class Transfer {
  /** Number of received and verified bytes. */
  received = 0;
  private part: ModelPart | null = null;
  /** Whether each chunk has been received. Empty until the stored data are verified. */
  private have: boolean[] = [];
  private waiting = 0;
  /** Chain of writes, one after the other. */
  private work: Promise<void> = Promise.resolve();
  private ended = false;
  private readonly abort = new AbortController();
  private secondMs = Number.NEGATIVE_INFINITY;
  private inSecond = 0;
  private askedMs = Number.NEGATIVE_INFINITY;
  private askedFor = -1;
  private cameMs: number;
  private cancelAsk: () => void = () => {};

  constructor(
    private readonly parts: ModelIntakeParts,
    readonly claim: ModelClaim,
    private readonly before: BeforeCheck,
    private readonly done: (refused: ModelRefusal | null) => void,
  ) {
    this.cameMs = parts.clock.monotonic();
  }

  begin(): void {
    if (this.ended) return;
    this.work = this.start().catch((error: unknown) => this.refuse(cannotStore(error)));
  }

  /** @param remove whether to remove the received data */
  async end(remove: boolean): Promise<void> {
    this.ended = true;
    this.cancelAsk();
    this.abort.abort(new Error('the transfer was ended'));
    await this.work.catch(() => {});
    await (remove ? this.part?.remove() : this.part?.close())?.catch(() => {});
    this.part = null;
  }

  chunk(name: string, number: number, payload: Uint8Array): void {
    const { claim, have, parts } = this;
    const hash = claim.chunks?.[number];
    if (this.ended || name !== claim.name || hash === undefined || have[number] !== false) return;
    const nowMs = parts.clock.monotonic();
    if (nowMs - this.secondMs >= 1000) {
      this.secondMs = nowMs;
      this.inSecond = 0;
    }
    this.inSecond += 1;
    if (this.inSecond > MOST_A_SECOND || this.waiting >= MOST_WAITING) return;
    if (payload.length !== this.lengthOf(number) || sha256(payload) !== hash) return;
    have[number] = true;
    this.cameMs = nowMs;
    this.waiting += 1;
    // copied, because the connection reuses the payload's buffer
    const bytes = Uint8Array.from(payload);
    this.work = this.work
      .then(async () => {
        if (this.ended) return;
        await this.part?.write(number * CHUNK_BYTES, bytes);
        this.waiting -= 1;
        this.received += bytes.length;
        if (this.received === claim.bytes) await this.complete();
      })
      .catch((error: unknown) => this.refuse(cannotStore(error)));
  }

  private async start(): Promise<void> {
    const { parts, claim } = this;
    const path = join(parts.folder, partName(claim));
    const part = await ModelPart.open(path, claim.bytes);
    this.part = part;
    if (claim.source !== 'mqtt') return this.fetchAll(part, claim.source);
    const have: boolean[] = [];
    for (const [number, hash] of (claim.chunks ?? []).entries()) {
      if (this.ended) return;
      const bytes = this.lengthOf(number);
      const here = await part.holds({ at: number * CHUNK_BYTES, bytes }, hash);
      have.push(here);
      if (here) this.received += bytes;
    }
    this.have = have;
    if (this.received === claim.bytes) await this.complete();
    else this.ask();
  }

  private lengthOf(chunk: number): number {
    return Math.min(CHUNK_BYTES, this.claim.bytes - chunk * CHUNK_BYTES);
  }

  /** Requests missing chunks: soon after a chunk arrived, otherwise periodically, for senders that connect later. */
  private ask(): void {
    if (this.ended) return;
    const nowMs = this.parts.clock.monotonic();
    if (nowMs - this.cameMs >= GIVE_UP_MS) {
      const text = `has not arrived: received ${this.received} of ${this.claim.bytes} bytes`;
      this.refuse(refusalOf(503, 'model', text, SEND_HINT));
      return;
    }
    if (this.received !== this.askedFor || nowMs - this.askedMs >= ASK_AGAIN_MS) {
      this.askedMs = nowMs;
      this.askedFor = this.received;
      this.say('receiving', null);
    }
    this.cancelAsk = this.parts.clock.after(ASK_MS, () => this.ask());
  }

  private say(status: Have['status'], reason: string | null): void {
    const { claim, have, parts } = this;
    if (claim.source !== 'mqtt') return;
    const missing = status === 'receiving' ? rangesOf(have) : [];
    const { name, manifest_sha256, bytes } = claim;
    parts.have(name, { manifest_sha256, chunks: chunksOf(bytes), missing, status, reason });
  }

  private async fetchAll(part: ModelPart, source: string): Promise<void> {
    const { ca } = this.parts;
    let trusted: string | undefined;
    try {
      trusted = ca === undefined ? undefined : readBounded(ca, MAX_CA_BYTES).toString('utf8');
    } catch (error) {
      const text = `cannot read remote_config.ca, ${ca}: ${errorText(error)}`;
      return this.refuse(refusalOf(503, 'model.source', text, 'correct it on the gateway'));
    }
    for (const file of placesOf(this.claim)) {
      let pauseMs = FIRST_PAUSE_MS;
      for (let attempt = 1; !(await part.holds(file, file.sha256)); attempt++) {
        if (this.ended) return;
        const failure = await download({
          url: fileUrl(source, file.name),
          bytes: file.bytes,
          signal: this.abort.signal,
          ca: trusted,
          write: (at, bytes) => part.write(file.at + at, bytes),
        });
        if (this.ended) return;
        const where = `model.source`;
        if (failure === null) {
          if (await part.holds(file, file.sha256)) break;
          return this.refuse(refusalOf(400, where, `${file.name} does not match its signed hash`));
        }
        this.parts.log.warn('model not fetched', { file: file.name, reason: failure.reason, attempt });
        if (!failure.again || attempt >= DOWNLOAD_ATTEMPTS)
          return this.refuse(refusalOf(503, where, `${file.name} ${failure.reason}`, URL_HINT));
        await this.pause(pauseMs);
        pauseMs *= 2;
      }
      this.received += file.bytes;
    }
    await this.complete();
  }

  private pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.parts.clock.after(ms, resolve);
      this.abort.signal.addEventListener('abort', () => {
        cancel();
        resolve();
      });
    });
  }

  /** All bytes have arrived: checks and saves the model. */
  private async complete(): Promise<void> {
    const { part, claim, parts } = this;
    if (this.ended || part === null) return;
    this.cancelAsk();
    const early = this.before();
    if (early !== null) return this.refuse(early);
    const files = new Map<string, Uint8Array>();
    for (const file of placesOf(claim)) {
      const { bytes, hash } = await part.hashed(file);
      if (hash !== file.sha256)
        return this.refuse(refusalOf(400, 'model.files', `${file.name} does not match its signed hash`));
      files.set(file.name, bytes);
    }
    const checked = await checkModel(claim, files, parts.features, parts.trial);
    if (this.ended) return;
    if (checked.problem !== null) return this.refuse({ code: 400, problem: checked.problem });
    // an existing model of this name is damaged; otherwise the transfer would have been refused
    parts.registry.remove(claim.name);
    removeHalfWritten(parts.registry.dataFolder, claim.name);
    await parts.registry.add(checked.files);
    // ended meanwhile: remove the model, because no other code will
    if (this.ended) return parts.registry.remove(claim.name);
    await part.remove();
    this.part = null;
    this.ended = true;
    this.say('complete', null);
    parts.log.info('model received', { model: claim.name, bytes: claim.bytes });
    this.done(null);
  }

  private refuse(refusal: ModelRefusal): void {
    if (this.ended) return;
    this.ended = true;
    this.cancelAsk();
    this.abort.abort(new Error('the transfer was ended'));
    const { path, text } = refusal.problem;
    this.say('refused', `${path} ${text}`);
    const { part } = this;
    this.part = null;
    // if the disk is full or broken, the next start removes the file
    void part
      ?.remove()
      .catch(() => {})
      .finally(() => this.done(refusal));
    if (part === null) this.done(refusal);
  }
}

const partName = ({ manifest_sha256, source }: ModelClaim): string =>
  `${manifest_sha256}.${source === 'mqtt' ? 'chunks' : 'files'}`;

/** Missing chunks as ranges, the lowest first. */
function rangesOf(have: readonly boolean[]): [number, number][] {
  const ranges: [number, number][] = [];
  for (const [number, here] of have.entries()) {
    if (here) continue;
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === number - 1) last[1] = number;
    else if (ranges.length >= MOST_RANGES) break;
    else ranges.push([number, number]);
  }
  return ranges;
}

/** Removes the remains of a crash while a model was written. */
function removeHalfWritten(folder: string | null, name: string): void {
  for (const entry of folder === null ? [] : entriesOf(folder))
    if (entry.startsWith(`${name}.`) && /^\.(?:\d+|old)\.tmp$/.test(entry.slice(name.length)))
      rmSync(join(folder ?? '', entry), { recursive: true, force: true });
}

function freeOf(folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}

const refusalOf = (code: Code, path: string, text: string, hint = ''): ModelRefusal => ({
  code,
  problem: problem(path, text, hint),
});

const cannotStore = (error: unknown): ModelRefusal =>
  refusalOf(
    503,
    'model',
    `cannot be stored: ${errorText(error)}`,
    'the disk of the gateway is full or broken',
  );

const mb = (bytes: number): number => Math.ceil(bytes / 1024 / 1024);
const SEND_HINT = 'continue with `gatecast config push --resume`';
const URL_HINT = 'put the files of the model folder there, and push again';
