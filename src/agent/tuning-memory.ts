/** The state of fine-tuning that survives a restart of the agent: one value in the store's `meta`. */
import { z } from 'zod';
import { type MetaStore, StoredValue } from '../system/stored-value.ts';

const trigger = z.enum(['request', 'drift', 'schedule', 'initial']).nullable();
const time = z.number().nullable();
/** Encodes infinity, the loss of a diverged network, which JSON cannot represent. */
const loss = z
  .number()
  .nullable()
  .transform((value) => value ?? Number.POSITIVE_INFINITY);
const run = z.object({
  status: z.enum(['never', 'running', 'paused', 'promoted', 'refused', 'failed', 'rolled-back', 'confirmed']),
  reason: z.string(),
  trigger,
  startedMs: time,
  endedMs: time,
  found: z
    .object({
      streams: z.number(),
      leftOut: z.number(),
      problems: z.array(z.object({ stream: z.string(), problem: z.string() })).readonly(),
      losses: z.object({ candidate: loss, champion: loss, naive: loss, seasonal: loss }).nullable(),
      seconds: z.number().nullable(),
      gate: z
        .object({
          gain: z
            .number()
            .nullable()
            .transform((value) => value ?? Number.NEGATIVE_INFINITY),
          pValue: z.number(),
          origins: z.number(),
          harmed: z.number(),
          steps: z.number().nullable(),
          baseLoss: z.number().nullable(),
          bestLoss: z.number().nullable(),
        })
        .nullable()
        .optional(),
    })
    .nullable(),
});
export const schedulerSchema = z.object({
  running: z.boolean(),
  lastEndMs: time,
  failures: z.number().int().nonnegative(),
  notBeforeMs: z.number(),
  pending: trigger,
});
/** Live scores by stream. */
export const ratiosSchema = z.record(z.string(), z.number());
const schema = z.object({
  /** null: fine-tuning has never run here. */
  tuner: z.object({ scheduler: schedulerSchema, last: run }).nullable(),
  /** Scores of the previous model when it was replaced; null: unknown. */
  champion: ratiosSchema.nullable(),
  /** Scores of the model that ran at the last stop. */
  live: z.object({ model: z.string(), ratios: ratiosSchema }).nullable().default(null),
  /** Finished runs, oldest first. */
  runs: z.array(run).default([]),
});

export type TuningMemory = z.output<typeof schema>;

const FRESH: TuningMemory = { tuner: null, champion: null, live: null, runs: [] };

/** The memory of a group; empty if nothing valid is stored. */
export const tuningMemory = (store: MetaStore, group: string): StoredValue<TuningMemory> =>
  new StoredValue(
    store,
    `agent.tuning.${group}`,
    (json) => schema.safeParse(json).data ?? FRESH,
    (stored, own) => ({
      tuner: own.tuner ?? stored.tuner,
      champion: own.champion ?? stored.champion,
      live: own.live ?? stored.live,
      runs: [...stored.runs, ...own.runs],
    }),
  );
