/**
 * The models of a site: their files in the object store, the record of the newest one, and those that this member has opened. A new
 * model is put into the store first; when all workers have checked it, the operator's command writes it into the log of each
 * partition, so that it takes effect at the same message for every reader of the log.
 */
import type { ObjectStore } from '@nats-io/obj';
import { errorText, GatecastError } from '../errors.ts';
import type { Model } from '../forecast/model.ts';
import { CONFIGURED, isModelRef, type ModelRef } from './batch.ts';
import { MODEL_KEY } from './names.ts';
import { entryValue, isConflict, type Site, writeKey } from './nats.ts';
import { readObject } from './object.ts';

/** The files of a model, and what they must be like, as the reader of the files understands it. */
export interface ModelFilesOf {
  readonly claim: unknown;
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** Checks the files of a model. @throws GatecastError MODEL_INVALID */
export type OpenFiles = (from: ModelFilesOf) => Promise<Model>;

/** The newest model of a site. */
export interface ModelRecord extends ModelRef {
  /** For the operator. */
  readonly name: string;
  /** ISO 8601. */
  readonly since: string;
  /** Whether it is in the logs; before, workers only check it. */
  readonly announced: boolean;
  /** Ids of former models whose files are kept, oldest first. */
  readonly former: readonly string[];
  /** Probation of the model, ms; 0 or missing: none. */
  readonly probationMs?: number;
  /** Why it was set, if a worker set it. */
  readonly reason?: string;
}

/** The object that lists the files of a model. */
interface Index {
  readonly claim: unknown;
  readonly files: readonly string[];
}

const fileName = (id: string, file: string): string => `${id}/${file}`;

/** @throws GatecastError SITE_FAILED when an object is missing; it is then gone for good */
export async function readFiles(store: ObjectStore, { id, number }: ModelRef): Promise<ModelFilesOf> {
  const get = async (name: string): Promise<Uint8Array> => {
    const bytes = await readObject(store, name);
    if (bytes === null)
      throw new GatecastError('SITE_FAILED', `The files of model ${number} are not in the object store.`, {
        hint: 'Set a model again: `gatecast site model set`.',
      });
    return bytes;
  };
  const { claim, files } = JSON.parse(new TextDecoder().decode(await get(id))) as Index;
  const found = new Map<string, Uint8Array>();
  for (const file of files) found.set(file, await get(fileName(id, file)));
  return { claim, files: found };
}

/** Writes the index last: if it exists, all files exist. */
export async function putModel(
  store: ObjectStore,
  id: string,
  { claim, files }: ModelFilesOf,
): Promise<void> {
  if ((await store.info(id)) !== null) return;
  for (const [file, bytes] of files) await store.putBlob({ name: fileName(id, file) }, bytes);
  const index: Index = { claim, files: [...files.keys()] };
  await store.putBlob({ name: id }, new TextEncoder().encode(JSON.stringify(index)));
}

export async function removeModel(store: ObjectStore, id: string): Promise<void> {
  for (const { name } of await store.list())
    if (name === id || name.startsWith(fileName(id, ''))) await store.delete(name);
}

interface FoundRecord {
  /** Null: the site has the model of the config. */
  readonly record: ModelRecord | null;
  readonly revision: number;
}

/** The newest model that is in the logs. A command that was killed leaves a record of one that is not. */
export function announcedModel(record: ModelRecord | null): ModelRef {
  if (record === null || record.number === 0) return CONFIGURED;
  if (record.announced) return { number: record.number, id: record.id };
  return { number: record.number - 1, id: record.former.at(-1) ?? '' };
}

/** Removes the files of models that nobody refers to: a command or a worker that set one may have been killed. */
export async function removeUnused(
  store: ObjectStore,
  record: ModelRecord | null,
  olderThanMs: number,
): Promise<string[]> {
  const used = new Set(record === null ? [] : [record.id, ...record.former]);
  const removed: string[] = [];
  for (const { name, mtime } of await store.list()) {
    const [id = name] = name.split('/');
    if (used.has(id) || !(Date.parse(mtime) < olderThanMs)) continue;
    await store.delete(name);
    removed.push(name);
  }
  return removed;
}

export async function readRecord({ state }: Pick<Site, 'state'>): Promise<FoundRecord> {
  const entry = await state.get(MODEL_KEY);
  const value = entryValue<ModelRecord>(entry);
  return { record: isModelRef(value) ? value : null, revision: entry?.revision ?? 0 };
}

/** @throws GatecastError SITE_FAILED when another command has written it since. @returns its new revision */
export async function writeRecord(
  { state }: Pick<Site, 'state'>,
  record: ModelRecord,
  revision: number,
): Promise<number> {
  try {
    return await writeKey(state, MODEL_KEY, JSON.stringify(record), revision);
  } catch (cause) {
    if (!isConflict(cause)) throw cause;
    throw new GatecastError('SITE_FAILED', 'Another command is setting a model of the site.', { cause });
  }
}

/** The models that this member has opened. Each is opened once for all partitions. */
export class SiteModels {
  private readonly opened = new Map<string, Promise<Model>>();
  private readonly faults = new Map<string, string>();
  private readonly ready = new Set<string>();

  constructor(
    private readonly store: ObjectStore,
    private readonly open: OpenFiles,
  ) {}

  of(ref: ModelRef): Promise<Model> {
    const { id } = ref;
    const known = this.opened.get(id);
    if (known !== undefined) return known;
    const model = readFiles(this.store, ref)
      .then(this.open)
      .catch((cause) => {
        if (cause instanceof GatecastError) throw cause;
        const text = `The model ${ref.number} cannot be read: ${errorText(cause)}`;
        throw new GatecastError('SITE_UNREACHABLE', text, { hint: 'It is tried again.', cause });
      });
    this.opened.set(id, model);
    model.then(
      () => {
        this.ready.add(id);
        this.faults.delete(id);
      },
      (error) => {
        this.opened.delete(id);
        this.faults.set(id, errorText(error));
      },
    );
    return model;
  }

  isReady({ id }: ModelRef): boolean {
    return this.ready.has(id);
  }

  /** Why the model could not be used when it was last tried. */
  fault({ id }: ModelRef): string | null {
    return this.faults.get(id) ?? null;
  }

  /** Forgets the models that no partition uses. */
  keep(ids: ReadonlySet<string>): void {
    for (const id of this.opened.keys()) {
      if (ids.has(id)) continue;
      this.opened.delete(id);
      this.ready.delete(id);
    }
    for (const id of this.faults.keys()) if (!ids.has(id)) this.faults.delete(id);
  }
}
