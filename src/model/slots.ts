/**
 * Which model each group of streams runs: current, previous, candidate, and whether the current one is on probation.
 * One small file, replaced atomically, so that a crash at any instant leaves the old choice or the new one. Models
 * themselves are folders of the registry that never change; a switch only changes names here.
 */
import { existsSync, readFileSync, renameSync } from 'node:fs';
import { dirname } from 'node:path';
import { z } from 'zod';
import { errorText, GatecastError } from '../errors.ts';
import { makeFolder, writeFileAtomic } from '../system/files.ts';
import { MODEL_NAME } from './manifest.ts';

/** A promoted model that has not proved itself after so many starts is rolled back. */
export const PROBATION_STARTS = 3;

const name = z.string().regex(MODEL_NAME);
const groupSchema = z.strictObject({
  current: name,
  previous: name.nullable(),
  candidate: name.nullable(),
  probation: z.strictObject({ sinceMs: z.number(), starts: z.number().int().nonnegative() }).nullable(),
  /** Why the group runs what it runs. */
  reason: z.string().max(2000),
});
const fileSchema = z.strictObject({
  format: z.literal(1),
  groups: z.record(z.string().max(256), groupSchema),
});

export type GroupSlots = z.infer<typeof groupSchema>;

export class ModelSlots {
  private groups: Record<string, GroupSlots>;
  /** Set when the file was damaged: every group runs its configured model again. */
  readonly problem: string | null;

  /** @param path `<data_dir>/models/slots.json`; made when first written to */
  constructor(private readonly path: string) {
    const { groups, problem } = load(path);
    this.groups = groups;
    this.problem = problem;
  }

  /** @param configured model of a group that never switched */
  get(group: string, configured: string): GroupSlots {
    return (
      this.groups[group] ?? {
        current: configured,
        previous: null,
        candidate: null,
        probation: null,
        reason: 'configured',
      }
    );
  }

  all(): Readonly<Record<string, GroupSlots>> {
    return this.groups;
  }

  /** Remembers a trained model that waits for its gate. */
  stage(group: string, configured: string, candidate: string): GroupSlots {
    return this.put(group, { ...this.get(group, configured), candidate });
  }

  /** The candidate becomes current, on probation. @throws GatecastError MODEL_UNKNOWN without a candidate */
  promote(group: string, configured: string, nowMs: number, reason: string): GroupSlots {
    const slots = this.get(group, configured);
    if (!slots.candidate)
      throw new GatecastError('MODEL_UNKNOWN', `Group '${group}' has no candidate to promote.`);
    return this.put(group, {
      current: slots.candidate,
      previous: slots.current,
      candidate: null,
      probation: { sinceMs: nowMs, starts: 0 },
      reason,
    });
  }

  /** The candidate was refused. */
  drop(group: string, configured: string, reason: string): GroupSlots {
    return this.put(group, { ...this.get(group, configured), candidate: null, reason });
  }

  /** The current model has proved itself. */
  confirm(group: string, configured: string): GroupSlots {
    return this.put(group, { ...this.get(group, configured), probation: null });
  }

  /** Back to the previous model. @throws GatecastError MODEL_UNKNOWN without one */
  rollback(group: string, configured: string, reason: string): GroupSlots {
    const slots = this.get(group, configured);
    if (!slots.previous) {
      throw new GatecastError('MODEL_UNKNOWN', `Group '${group}' has no previous model to roll back to.`, {
        hint: `It runs '${slots.current}'.`,
      });
    }
    return this.put(group, { ...slots, current: slots.previous, previous: null, probation: null, reason });
  }

  /** Back to the configured model, whatever was before: its models cannot be used, or the owner chose another. */
  revert(group: string, configured: string, reason: string): GroupSlots {
    return this.put(group, { current: configured, previous: null, candidate: null, probation: null, reason });
  }

  /**
   * Counts a start of the agent before the model is used, so that one that kills the agent is rolled back although it
   * never reports: call first thing. @returns the slots to run, and whether this start rolled back
   */
  noteStart(group: string, configured: string): { slots: GroupSlots; rolledBack: boolean } {
    const slots = this.get(group, configured);
    if (!slots.probation) return { slots, rolledBack: false };
    const starts = slots.probation.starts + 1;
    if (starts > PROBATION_STARTS && slots.previous) {
      const reason = `'${slots.current}' did not prove itself within ${PROBATION_STARTS} starts`;
      return { slots: this.rollback(group, configured, reason), rolledBack: true };
    }
    return {
      slots: this.put(group, { ...slots, probation: { ...slots.probation, starts } }),
      rolledBack: false,
    };
  }

  /** Names that a group runs, ran or may run: models that must not be removed. */
  inUse(): Set<string> {
    const names = Object.values(this.groups).flatMap((one) => [one.current, one.previous, one.candidate]);
    return new Set(names.filter((one) => one !== null));
  }

  private put(group: string, slots: GroupSlots): GroupSlots {
    const groups = { ...this.groups, [group]: slots };
    makeFolder(dirname(this.path));
    writeFileAtomic(this.path, `${JSON.stringify({ format: 1, groups }, null, 2)}\n`);
    this.groups = groups;
    return slots;
  }
}

/** What the file says; nothing is changed. */
export function readSlots(path: string): { groups: Record<string, GroupSlots>; problem: string | null } {
  if (!existsSync(path)) return { groups: {}, problem: null };
  let reason: string;
  try {
    const parsed = fileSchema.safeParse(JSON.parse(readFileSync(path, 'utf8')));
    if (parsed.success) return { groups: parsed.data.groups, problem: null };
    reason = parsed.error.issues.map((one) => `${one.path.join('.')} ${one.message}`).join('; ');
  } catch (error) {
    reason = errorText(error);
  }
  return { groups: {}, problem: `${path} is damaged (${reason})` };
}

function load(path: string): ReturnType<typeof readSlots> {
  const { groups, problem } = readSlots(path);
  if (problem === null) return { groups, problem };
  try {
    renameSync(path, `${path}.damaged`);
  } catch {
    // On a disk that takes nothing it stays; what is written next takes its place.
    return { groups, problem };
  }
  return { groups, problem: `${problem} and has been put aside` };
}
