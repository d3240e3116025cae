/**
 * The history of pushes from this machine: one JSON line for each push, written before it is sent, and one for its outcome.
 * It gives the next version and the content of a rollback.
 */
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import { nextLayer } from '../../remote/layers.ts';
import { type JsonObject, mergePatch } from '../../remote/merge-patch.ts';
import { jsonOrNull } from '../../system/json.ts';
import type { Target } from './operator.ts';

const contentSchema = z.object({
  config: z.record(z.string(), z.unknown()).optional(),
  patch: z.record(z.string(), z.unknown()).optional(),
  rollback: z.literal(true).optional(),
  model: z.looseObject({ name: z.string() }).optional(),
});

/** What identifies a push, in the history and in the file of its rollout. */
export const pushFields = {
  id: z.string(),
  base: z.string(),
  target: z.object({ kind: z.enum(['node', 'fleet']), name: z.string() }),
  kid: z.string(),
  version: z.number(),
  token: z.string(),
};

const pushedSchema = z.object({
  ...pushFields,
  at: z.string(),
  content: contentSchema,
});
export type Pushed = z.infer<typeof pushedSchema>;

const outcomeSchema = z.object({
  id: z.string(),
  ended: z.string(),
  result: z.enum(['applied', 'failed', 'aborted']),
  /** Node -> status. */
  nodes: z.record(z.string(), z.string()),
});
type Outcome = z.infer<typeof outcomeSchema>;

export interface HistoryEntry extends Pushed {
  /** Null: in progress, or interrupted. */
  readonly outcome: Outcome | null;
}

/** @throws the system's error */
export function append(path: string, line: Pushed | Outcome): void {
  appendFileSync(path, `${JSON.stringify(line)}\n`, { mode: 0o600, flush: true });
}

/** Oldest first. Skips unreadable lines, such as one cut by a power failure. */
export function readHistory(path: string): HistoryEntry[] {
  if (!existsSync(path)) return [];
  const entries = new Map<string, Pushed & { outcome: Outcome | null }>();
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    const data = jsonOrNull(line);
    const pushed = pushedSchema.safeParse(data);
    const outcome = outcomeSchema.safeParse(data);
    if (pushed.success) entries.set(pushed.data.id, { ...pushed.data, outcome: null });
    else if (outcome.success) {
      const entry = entries.get(outcome.data.id);
      if (entry !== undefined) entry.outcome = outcome.data;
    }
  }
  return [...entries.values()];
}

/** Entries of one layer. */
export function ofTarget(history: readonly HistoryEntry[], base: string, target: Target): HistoryEntry[] {
  return history.filter(
    (entry) => entry.base === base && entry.target.kind === target.kind && entry.target.name === target.name,
  );
}

export interface LayerVersion {
  readonly version: number;
  /** Null: unknown, for example after a patch on a push from another machine. */
  readonly content: JsonObject | null;
}

/** The versions of a layer that were pushed from this machine and applied, oldest first. */
export function layerVersions(entries: readonly HistoryEntry[]): LayerVersion[] {
  const versions: LayerVersion[] = [];
  for (const { version, content, outcome } of entries) {
    if (outcome?.result !== 'applied') continue;
    const before = versions.at(-1)?.content ?? null;
    versions.push({ version, content: contentAfter(before, content) });
  }
  return versions;
}

function contentAfter(
  before: JsonObject | null,
  { model, ...content }: z.infer<typeof contentSchema>,
): JsonObject | null {
  if (model === undefined) return mergedContent(before, content);
  // A push with a model sets `model.name` in its layer.
  const layer = mergedContent(before, content.config || content.patch ? content : { patch: {} });
  return layer && (mergePatch(layer, { model: { name: model.name } }) as JsonObject);
}

function mergedContent(
  before: JsonObject | null,
  { config, patch }: Omit<z.infer<typeof contentSchema>, 'model'>,
): JsonObject | null {
  if (config !== undefined) return config;
  return patch === undefined || before === null ? null : nextLayer(before, { patch });
}
