/** Gives a site another model: stores it, waits until all workers have checked it, and writes it into the logs. */
import { errorText, GatecastError } from '../errors.ts';
import { encodeModel, type ModelRef } from './batch.ts';
import {
  type ModelFilesOf,
  type ModelRecord,
  putModel,
  readRecord,
  removeModel,
  writeRecord,
} from './models.ts';
import { inputSubject, memberKey, memberOf } from './names.ts';
import { keysOf, type Site } from './nats.ts';
import type { MemberEntry } from './worker.ts';

/** Files of former models that are kept, for partitions whose checkpoint is older and for a way back. */
const KEPT = 8;
const LOOK_MS = 250;

export interface NewModel extends ModelFilesOf {
  readonly id: string;
  readonly name: string;
}

export interface SetModelOptions {
  /** For the check, and then for the switch, ms. */
  readonly timeoutMs: number;
  readonly nowMs: number;
  readonly wait: (ms: number) => Promise<void>;
}

/**
 * After a failure the workers go on with the model that they have, or some partitions have switched and others will not: the same
 * command again then completes it.
 * @returns the record of the model
 * @throws GatecastError SITE_FAILED, MODEL_INVALID when a worker refuses it
 */
export async function setModel(site: Site, model: NewModel, options: SetModelOptions): Promise<ModelRecord> {
  const { record: before, revision } = await readRecord(site);
  await putModel(site.models, model.id, model);
  const again = before?.id === model.id;
  const former = before === null || again ? (before?.former ?? []) : [...before.former, before.id];
  const checked: ModelRecord = {
    number: (before?.number ?? 0) + (again ? 0 : 1),
    id: model.id,
    name: model.name,
    since: new Date(options.nowMs).toISOString(),
    announced: again && before.announced,
    former: former.filter((id) => id !== '' && id !== model.id),
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
  for (let partition = 0; partition < site.partitions; partition++) await announce(site, partition, checked);
  for (const id of checked.former.slice(0, -KEPT)) await removeModel(site.models, id);
  return announced;
}

/** Partitions whose owner has not switched yet, or that have no owner. */
export async function notSwitched(site: Site, { number }: ModelRef): Promise<number[]> {
  const done = new Set<number>();
  for (const entry of (await workers(site)).values())
    for (const { partition, model } of entry.partitions) if ((model ?? 0) >= number) done.add(partition);
  return Array.from({ length: site.partitions }, (_, partition) => partition).filter((one) => !done.has(one));
}

async function announce(site: Site, partition: number, { number, id }: ModelRef): Promise<void> {
  try {
    await site.js.publish(inputSubject(site.name, partition), encodeModel({ number, id }));
  } catch (cause) {
    throw new GatecastError(
      'SITE_FAILED',
      `The log of partition ${partition} did not take the model: ${errorText(cause)}`,
      { hint: 'Run the command again: partitions that have the model already ignore it.', cause },
    );
  }
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

async function workers(site: Site): Promise<Map<string, MemberEntry>> {
  const found = new Map<string, MemberEntry>();
  for (const key of await keysOf(site, 'members', memberKey('worker', '*'))) {
    const entry = await site.members.get(key);
    if (entry?.operation === 'PUT') found.set(memberOf(key), entry.json<MemberEntry>());
  }
  return found;
}
