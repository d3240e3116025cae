/** Gives a site another model: stores it, waits until all workers have checked it, and writes it into the logs. */
import { errorText, GatecastError } from '../errors.ts';
import { encodeModel, type ModelRef } from './batch.ts';
import {
  announcedModel,
  type ModelFilesOf,
  type ModelRecord,
  putModel,
  readFiles,
  readRecord,
  removeModel,
  writeRecord,
} from './models.ts';
import { inputSubject, memberKey, memberOf } from './names.ts';
import { entryValue, keysOf, type Site } from './nats.ts';
import type { MemberEntry } from './worker.ts';

/** Files of former models that are kept, for partitions whose checkpoint is older and for a way back. */
const KEPT = 8;
const LOOK_MS = 250;

export interface NewModel extends ModelFilesOf {
  readonly id: string;
  readonly name: string;
}

interface SetModelOptions {
  /** For the check, and then for the switch, ms. */
  readonly timeoutMs: number;
  readonly nowMs: number;
  readonly wait: (ms: number) => Promise<void>;
  /** See `ModelRecord`. */
  readonly probationMs?: number;
  readonly reason?: string;
  /** Number of the model that it shall follow: if another one has been set meanwhile, nothing changes. */
  readonly after?: number;
  /** Leaves it to the bridges to write the model into the logs (`ModelRelay`): a worker may not. */
  readonly byBridges?: boolean;
}

/**
 * After a failure the workers keep their model, or only some partitions have switched; running the same command again completes
 * the switch, or a bridge does (`ModelRelay`).
 * @returns the record of the model
 * @throws GatecastError SITE_FAILED, MODEL_INVALID when a worker refuses it
 */
export async function setModel(site: Site, model: NewModel, options: SetModelOptions): Promise<ModelRecord> {
  const { record: before, revision } = await readRecord(site);
  const { number: current } = announcedModel(before);
  const kept = before === null ? [] : [...before.former, ...(before.announced ? [before.id] : [])];
  if (options.after !== undefined && options.after !== current)
    throw new GatecastError('SITE_FAILED', 'Another model of the site has been set meanwhile.');
  await putModel(site.models, model.id, model);
  const again = before?.announced === true && before.id === model.id;
  const { probationMs = 0, reason } = options;
  const checked: ModelRecord = {
    number: current + (again ? 0 : 1),
    id: model.id,
    name: model.name,
    since: again ? before.since : new Date(options.nowMs).toISOString(),
    announced: again,
    former: again ? before.former : kept.filter((id) => id !== model.id),
    probationMs: again ? (before.probationMs ?? 0) : probationMs,
    ...(reason !== undefined && { reason }),
  };
  let written = await writeRecord(site, checked, revision);
  try {
    await isChecked(site, checked, options);
  } catch (error) {
    // The number was in no log: the next model may have it.
    if (!checked.announced)
      await writeRecord(site, before ?? { ...checked, number: 0, id: '', name: '' }, written).catch(() => {});
    throw error;
  }
  const announced = { ...checked, announced: true, former: checked.former.slice(-KEPT) };
  written = await writeRecord(site, announced, written);
  if (options.byBridges !== true) await announce(site, checked);
  for (const id of checked.former.slice(0, -KEPT)) await removeModel(site.models, id);
  return announced;
}

async function announce(site: Site, { number, id }: ModelRef): Promise<void> {
  for (let partition = 0; partition < site.partitions; partition++)
    try {
      await site.js.publish(inputSubject(site.name, partition), encodeModel({ number, id }));
    } catch (cause) {
      const text = `The log of partition ${partition} did not take the model: ${errorText(cause)}`;
      const hint = 'Run the command again: partitions that have the model already ignore it.';
      throw new GatecastError('SITE_FAILED', text, { hint, cause });
    }
}

/**
 * Writes the newest model of the site into the logs, for workers, which may not, and for a command that was killed. All bridges do so:
 * partitions that have the model ignore it.
 */
export class ModelRelay {
  private written = 0;

  /** Call regularly. @returns the model that was written; null: there is no other one */
  async look(site: Site): Promise<ModelRecord | null> {
    const { record } = await readRecord(site);
    if (record === null || !record.announced || record.number <= this.written) return null;
    await announce(site, record);
    this.written = record.number;
    return record;
  }
}

/** The model that the site had before. @throws GatecastError MODEL_UNKNOWN if that was the model of the config */
export async function formerModel(site: Site): Promise<NewModel> {
  const { record } = await readRecord(site);
  const id = record?.announced === true ? record.former.at(-1) : undefined;
  if (id === undefined)
    throw new GatecastError('MODEL_UNKNOWN', 'The site had no other model before.', {
      hint: 'The model of the config is set by its name: `gatecast site model set -c operator.yaml base`.',
    });
  return storedModel(site, id);
}

export async function storedModel({ models }: Pick<Site, 'models'>, id: string): Promise<NewModel> {
  const files = await readFiles(models, { number: 0, id });
  const { name = id } = (files.claim ?? {}) as { name?: string };
  return { id, name, ...files };
}

/** Partitions whose owner has not switched yet, or that have no owner. */
export async function notSwitched(site: Site, { number }: ModelRef): Promise<number[]> {
  const done = new Set<number>();
  for (const entry of (await workers(site)).values())
    for (const { partition, model } of entry.partitions) if ((model ?? 0) >= number) done.add(partition);
  return Array.from({ length: site.partitions }, (_, partition) => partition).filter((one) => !done.has(one));
}

async function isChecked(site: Site, ref: ModelRef, options: SetModelOptions): Promise<void> {
  for (let waitedMs = 0; ; waitedMs += LOOK_MS) {
    const found = await workers(site);
    if (found.size === 0)
      throw new GatecastError('SITE_FAILED', 'No worker is there to check the model.', {
        hint: 'Start the workers first: `gatecast site members` lists them.',
      });
    for (const [member, { check }] of found)
      if (check?.id === ref.id && check.fault !== null)
        throw new GatecastError('MODEL_INVALID', `${member} refuses the model: ${check.fault}`, {
          hint: 'The workers go on with the model that they have.',
        });
    const waiting = [...found].filter(([, { check }]) => check?.id !== ref.id || check.ready === false);
    if (waiting.length === 0) return;
    if (waitedMs >= options.timeoutMs)
      throw new GatecastError(
        'SITE_FAILED',
        `Not all workers have checked the model: ${waiting.map(([member]) => member).join(', ')}.`,
        { hint: 'Look at the logs of these workers, or drain and stop them. Nothing has changed.' },
      );
    await options.wait(LOOK_MS);
  }
}

/** What each worker last announced. */
export async function workers(site: Site): Promise<Map<string, MemberEntry>> {
  const found = new Map<string, MemberEntry>();
  for (const key of await keysOf(site, 'members', memberKey('worker', '*'))) {
    const entry = entryValue<MemberEntry>(await site.members.get(key));
    if (entry !== null) found.set(memberOf(key), entry);
  }
  return found;
}
