/**
 * The model slots of each group of streams: current, previous, candidate, and whether the current one is on
 * probation. One small file, replaced atomically, so that a crash at any instant leaves the old choice or the new
 * one. Models themselves are folders of the registry that never change; a switch only changes names here.
 *
 * Each configured model (`model.name`) has separate slots: while a pushed model is on probation, models fine-tuned
 * from its predecessor are kept, and are used again after a rollback.
 */
import { readFileSync, renameSync } from 'node:fs';
import { dirname } from 'node:path';
import { z } from 'zod';
import { errorText, GatecastError } from '../errors.ts';
import { makeFolder, unlessAbsent, writeFileAtomic } from '../system/files.ts';
import { MODEL_NAME } from './manifest.ts';

/** A promoted model that is not confirmed after this many starts is rolled back. */
export const PROBATION_STARTS = 3;

/** Stands for the configured model in a file of format 1, which does not name it. */
const UNKNOWN = '';
const EMPTY: SlotsFile = { configured: {}, groups: {} };

const name = z.string().regex(MODEL_NAME);
const groupSchema = z.strictObject({
  current: name,
  previous: name.nullable(),
  candidate: name.nullable(),
  probation: z.strictObject({ sinceMs: z.number(), starts: z.number().int().nonnegative() }).nullable(),
  /** Reason for the current model. */
  reason: z.string().max(2000),
});
const groupName = z.string().max(256);
const fileSchema = z.union([
  z.strictObject({
    format: z.literal(2),
    /** Group -> the configured model in use. */
    configured: z.record(groupName, z.string()),
    /** Group -> configured model -> slots. */
    groups: z.record(groupName, z.record(z.string(), groupSchema)),
  }),
  z
    .strictObject({ format: z.literal(1), groups: z.record(groupName, groupSchema) })
    .transform(({ groups }) => ({
      format: 2 as const,
      configured: {},
      groups: Object.fromEntries(
        Object.entries(groups).map(([group, slots]) => [group, { [UNKNOWN]: slots }]),
      ),
    })),
]);

export type GroupSlots = z.infer<typeof groupSchema>;
interface SlotsFile {
  readonly configured: Readonly<Record<string, string>>;
  readonly groups: Readonly<Record<string, Readonly<Record<string, GroupSlots>>>>;
}

export class ModelSlots {
  private file: SlotsFile;
  /** Set if the file was damaged or cannot be read: every group then uses its configured model. */
  readonly problem: string | null;
  /** Whether the file cannot be read. It is not replaced then, so that the next start finds the choice. */
  readonly isUnread: boolean;

  /** @param path `<data_dir>/models/slots.json`; created at the first write */
  constructor(private readonly path: string) {
    const { file, problem, isUnread } = load(path);
    this.file = file;
    this.problem = problem;
    this.isUnread = isUnread;
  }

  /** @param configured the config's `model.name` */
  get(group: string, configured: string): GroupSlots {
    const known = this.file.groups[group];
    return known?.[configured] ?? known?.[UNKNOWN] ?? fresh(configured);
  }

  /** The configured model of a group that has slots; null if unknown. */
  configuredOf(group: string): string | null {
    return this.file.configured[group] ?? null;
  }

  /**
   * Sets the configured model. Removes slots of configured models that are not in `keep`.
   * @param before the configured model of the previous start, for files without it
   */
  use(group: string, configured: string, keep: ReadonlySet<string>, before: string | null = null): void {
    const { [UNKNOWN]: unnamed, ...known } = this.file.groups[group] ?? {};
    const named: Record<string, GroupSlots> =
      unnamed === undefined || (before !== null && before !== configured)
        ? known
        : { [configured]: unnamed, ...known };
    const kept = Object.entries(named).filter(([one]) => one === configured || keep.has(one));
    const changed =
      unnamed !== undefined ||
      kept.length < Object.keys(known).length ||
      (this.file.configured[group] ?? configured) !== configured;
    if (changed) this.write(group, configured, Object.fromEntries(kept));
  }

  /** Stores a trained model as candidate. */
  stage(group: string, configured: string, candidate: string): GroupSlots {
    return this.put(group, configured, { ...this.get(group, configured), candidate });
  }

  /** The candidate becomes current, on probation. @throws GatecastError MODEL_UNKNOWN without a candidate */
  promote(group: string, configured: string, nowMs: number, reason: string): GroupSlots {
    const slots = this.get(group, configured);
    if (!slots.candidate)
      throw new GatecastError('MODEL_UNKNOWN', `Group '${group}' has no candidate to promote.`);
    return this.put(group, configured, {
      current: slots.candidate,
      previous: slots.current,
      candidate: null,
      probation: { sinceMs: nowMs, starts: 0 },
      reason,
    });
  }

  /** The candidate was refused. */
  drop(group: string, configured: string, reason: string): GroupSlots {
    return this.put(group, configured, { ...this.get(group, configured), candidate: null, reason });
  }

  /** Ends the probation of the current model. */
  confirm(group: string, configured: string): GroupSlots {
    return this.put(group, configured, { ...this.get(group, configured), probation: null });
  }

  /** Back to the previous model. @throws GatecastError MODEL_UNKNOWN without one */
  rollback(group: string, configured: string, reason: string): GroupSlots {
    const slots = this.get(group, configured);
    if (!slots.previous) {
      throw new GatecastError('MODEL_UNKNOWN', `Group '${group}' has no previous model to roll back to.`, {
        hint: `It runs '${slots.current}'.`,
      });
    }
    return this.put(group, configured, {
      ...slots,
      current: slots.previous,
      previous: null,
      probation: null,
      reason,
    });
  }

  /** Switches to the configured model, if the current one cannot be used or the owner chose another. */
  revert(group: string, configured: string, reason: string): GroupSlots {
    return this.put(group, configured, { ...fresh(configured), reason });
  }

  /**
   * Counts a start before the model is used, so that a model that crashes the agent is rolled back. Call it first.
   * @returns the slots to run, and whether this start rolled back
   */
  noteStart(group: string, configured: string): { slots: GroupSlots; rolledBack: boolean } {
    const slots = this.get(group, configured);
    if (!slots.probation) return { slots, rolledBack: false };
    const starts = slots.probation.starts + 1;
    if (starts > PROBATION_STARTS && slots.previous) {
      const reason = `'${slots.current}' was not confirmed within ${PROBATION_STARTS} starts`;
      return { slots: this.rollback(group, configured, reason), rolledBack: true };
    }
    return {
      slots: this.put(group, configured, { ...slots, probation: { ...slots.probation, starts } }),
      rolledBack: false,
    };
  }

  /** A start in which the system could not read the current model does not count: it says nothing about the model. */
  forgetStart(group: string, configured: string): void {
    const { probation, ...slots } = this.get(group, configured);
    if (probation === null || probation.starts === 0) return;
    this.put(group, configured, { ...slots, probation: { ...probation, starts: probation.starts - 1 } });
  }

  /** Names of current, previous and candidate models, which must not be removed. */
  inUse(): Set<string> {
    const names = allSlots(this.file).flatMap(({ slots }) => [
      slots.current,
      slots.previous,
      slots.candidate,
    ]);
    return new Set(names.filter((one) => one !== null));
  }

  private put(group: string, configured: string, slots: GroupSlots): GroupSlots {
    const { [UNKNOWN]: _, ...known } = this.file.groups[group] ?? {};
    this.write(group, configured, { ...known, [configured]: slots });
    return slots;
  }

  private write(group: string, configured: string, slots: Readonly<Record<string, GroupSlots>>): void {
    const file: SlotsFile = {
      configured: { ...this.file.configured, [group]: configured },
      groups: { ...this.file.groups, [group]: slots },
    };
    if (this.isUnread) throw new GatecastError('FILE_UNREADABLE', this.problem ?? '');
    makeFolder(dirname(this.path));
    writeFileAtomic(this.path, `${JSON.stringify({ format: 2, ...file }, null, 2)}\n`);
    this.file = file;
  }
}

const fresh = (configured: string): GroupSlots => ({
  current: configured,
  previous: null,
  candidate: null,
  probation: null,
  reason: 'configured',
});

/** The slots in use, one entry per group. */
export function slotsInUse(file: SlotsFile): { readonly group: string; readonly slots: GroupSlots }[] {
  return allSlots(file).flatMap(({ group, configured, slots }) =>
    configured === (file.configured[group] ?? configured) ? [{ group, slots }] : [],
  );
}

const allSlots = (file: SlotsFile) =>
  Object.entries(file.groups).flatMap(([group, byConfigured]) =>
    Object.entries(byConfigured).map(([configured, slots]) => ({ group, configured, slots })),
  );

interface SlotsRead {
  readonly file: SlotsFile;
  readonly problem: string | null;
  readonly isUnread: boolean;
}

/** Reads the file without changing it. */
export function readSlots(path: string): SlotsRead {
  let text: string | null;
  try {
    text = unlessAbsent(() => readFileSync(path, 'utf8'));
  } catch (error) {
    return { file: EMPTY, problem: `${path} cannot be read (${errorText(error)})`, isUnread: true };
  }
  if (text === null) return { file: EMPTY, problem: null, isUnread: false };
  let reason: string;
  try {
    const parsed = fileSchema.safeParse(JSON.parse(text));
    if (parsed.success) return { file: parsed.data, problem: null, isUnread: false };
    reason = parsed.error.issues.map((one) => `${one.path.join('.')} ${one.message}`).join('; ');
  } catch (error) {
    reason = errorText(error);
  }
  return { file: EMPTY, problem: `${path} is damaged (${reason})`, isUnread: false };
}

function load(path: string): SlotsRead {
  const read = readSlots(path);
  if (read.problem === null || read.isUnread) return read;
  try {
    renameSync(path, `${path}.damaged`);
  } catch {
    // on a full or read-only disk the file stays; the next write replaces it
    return read;
  }
  return { ...read, problem: `${read.problem} and has been renamed` };
}
