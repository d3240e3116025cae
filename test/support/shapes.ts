/** The messages of docs/mqtt.md as schemas: strict, so that a field too many is found like one too few. */
import { z } from 'zod';

const time = z.string().regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
const count = z.number().int().nonnegative();
const numbers = z.array(z.number());
const kind = z.enum(['gru', 'seasonal-naive', 'naive', 'blend']);

export const SHAPES = {
  status: z.strictObject({
    state: z.enum(['online', 'offline']),
    version: z.string(),
    since: time,
    session: z.string().min(8),
  }),
  health: z.strictObject({
    state: z.enum(['ok', 'degraded']),
    degraded: z.array(z.string()),
    rss_mb: z.number(),
    cpu_pct: z.number(),
    db_bytes: count,
    written_bytes_day: count,
    streams: count,
    model: z.strictObject({ id: z.string(), version: z.string() }),
    finetune: z.strictObject({ status: z.string(), reason: z.string() }),
    config_version: z.number().nullable(),
    dropped: z.record(z.string(), count),
  }),
  forecast: z.strictObject({
    v: z.literal(1),
    stream: z.string(),
    unit: z.string().nullable(),
    issued: time,
    origin: time,
    step_s: z.number().positive(),
    seq: count,
    model: z.strictObject({ id: z.string(), version: z.string(), kind }),
    input: z.strictObject({
      quality: z.enum(['good', 'filled', 'stale']),
      observed: time.nullable(),
      age_s: count.nullable(),
      marks: count.optional(),
    }),
    p10: numbers,
    p50: numbers,
    p90: numbers,
    coverage: z.strictObject({ target: z.number(), observed: z.number().nullable(), n: count }),
    crossing: z
      .array(
        z.strictObject({
          name: z.string(),
          above: z.number().optional(),
          below: z.number().optional(),
          at: time.nullable(),
          probability: z.number().min(0).max(1),
        }),
      )
      .optional(),
  }),
  score: z.strictObject({
    by_lead: z
      .array(
        z.strictObject({
          h: count,
          n: count,
          mae: z.number(),
          mase: z.number().nullable(),
          bias: z.number(),
          coverage: z.number(),
          skill_vs_naive: z.number().nullable(),
          skill_vs_seasonal: z.number().nullable(),
        }),
      )
      .min(1),
    window: count,
  }),
  anomaly: z.strictObject({
    time,
    observed: z.number(),
    p50: z.number(),
    low: z.number(),
    high: z.number(),
    score: z.number().min(2).max(12),
  }),
  alert: z.strictObject({ severity: z.enum(['warning', 'error']), text: z.string().min(1), since: time }),
  model: z.looseObject({
    champion: z.string(),
    version: z.string(),
    trained_at: z.string().nullable(),
    holdout: z.looseObject({ champion: z.number(), candidate: z.number(), naive: z.number() }).nullable(),
    last_run: z.looseObject({ status: z.string(), reason: z.string() }),
  }),
  response: z.strictObject({
    status: z.enum(['ok', 'error']),
    data: z.looseObject({}).nullable(),
    error: z.string().nullable(),
    transaction: z.union([z.string(), z.number()]).nullable(),
  }),
  device: z.strictObject({
    dev: z.looseObject({ ids: z.array(z.string()), name: z.string() }),
    o: z.strictObject({ name: z.literal('gatecast'), sw: z.string(), url: z.string().optional() }),
    availability: z.array(z.looseObject({ topic: z.string() })),
    qos: z.literal(1),
    cmps: z.record(z.string(), z.looseObject({ p: z.enum(['sensor', 'binary_sensor', 'button']) })),
  }),
} as const;
