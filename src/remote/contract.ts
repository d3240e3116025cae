/**
 * The messages of remote config, shared by the gateway and the operator's commands: claims of a push, reports, codes, and
 * the messages of a model transfer. No I/O. Topics are in `mqtt/topics.ts`; see `docs/remote-config.md`.
 */
import { z } from 'zod';
import { parseDuration } from '../config/units.ts';
import { MODEL_NAME } from '../model/manifest.ts';

/** `typ` of the JWS header: a signature for one purpose is not valid for the other. */
export const CONFIG_TYP = 'gatecast-config+jwt';
export const REQUEST_TYP = 'gatecast-request+jwt';
export const ALGORITHM = 'EdDSA';

/** Kinds of messages that a key may sign: `roles` of its JWK. Without `roles`, all. */
export const KEY_ROLES = ['config', 'model', 'request'] as const;
export type KeyRole = (typeof KEY_ROLES)[number];

/** Largest payload of `config/desired`, bytes. */
export const MAX_PUSH_BYTES = 512 * 1024;
/** JSON nested deeper is refused. */
export const MAX_PUSH_DEPTH = 32;
export const DEFAULT_PROBATION = '10m';
/** Maximum time by which `iat` may be ahead of this gateway's clock, ms. */
export const CLOCK_TOLERANCE_MS = 300_000;

/** Maximum validity of a signed request, ms. */
export const MAX_REQUEST_LIFE_MS = 86_400_000;

/** Chunk size of a model transfer; the last chunk may be shorter. */
export const CHUNK_BYTES = 64 * 1024;
export const MAX_MODEL_BYTES = 64 * 1024 * 1024;
/** Files of a model folder that a push may hold. */
export const MODEL_FILES = ['manifest.json', 'weights.safetensors', 'step.onnx', 'MODEL_CARD.md'] as const;

export const CODES = {
  200: 'applied',
  202: 'applied, on probation',
  400: 'invalid; every wrong key is listed',
  401: 'signature missing, wrong, or of a key that may not sign this',
  403: 'names a key that only the local file may set',
  408: 'expired, or issued in the future',
  409: 'its version is not newer than the last one of this key',
  413: 'too large',
  500: 'did not pass its probation and was rolled back',
  503: 'cannot be applied now',
} as const;
export type Code = keyof typeof CODES;

export const STATUSES = ['applying', 'probation', 'applied', 'rejected', 'rolled_back'] as const;
export type Status = (typeof STATUSES)[number];

/** How a change is applied. */
const NEEDS = ['hot', 'reconnect', 'restart'] as const;
export type Needs = (typeof NEEDS)[number];

/** `aud` of a push to one gateway, and to a fleet group. */
export const nodeAudience = (base: string, node: string): string => `node:${base}/${node}`;
export const fleetAudience = (base: string, group: string): string => `fleet:${base}/${group}`;

/** A layer of the effective config that comes over the broker. */
export type LayerName = 'node' | `fleet:${string}`;

const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 hex digits');
const version = z.int('must be a whole number').min(1, 'must be at least 1');
/** Seconds since 1970, as in RFC 7519. */
const seconds = z.number('must be seconds since 1970').min(0).max(253_402_300_799);
/** Names of other files in the folder of the models. */
const RESERVED_NAME = /^slots\.json|\.tmp$/;
const name = z
  .string()
  .regex(MODEL_NAME, 'must be a model name: letters, digits, dots, dashes and underscores')
  .refine((text) => !RESERVED_NAME.test(text), 'is reserved');
const jsonObject = z.record(z.string(), z.unknown(), 'must be an object');

export const modelClaimSchema = z
  .strictObject({
    name,
    /** Hash of the model's `manifest.json`, which holds the hashes of the other files. */
    manifest_sha256: sha256,
    /** Total size of all files. */
    bytes: z.int().min(1).max(MAX_MODEL_BYTES, `must be at most ${MAX_MODEL_BYTES}`),
    /** `mqtt`: the files are sent in chunks, one after the other in the order of `files`; otherwise the folder's https URL. */
    source: z.union([
      z.literal('mqtt'),
      z
        .string()
        .max(2048)
        .regex(/^https:\/\/[^\s@]+$/, 'must be mqtt or an https URL'),
    ]),
    /** Hash of each chunk, in order, to detect a wrong chunk on arrival. Only with `source: mqtt`. */
    chunks: z
      .array(sha256)
      .min(1)
      .max(MAX_MODEL_BYTES / CHUNK_BYTES)
      .optional(),
    files: z
      .array(z.strictObject({ name: z.enum(MODEL_FILES), bytes: z.int().min(1), sha256 }))
      .min(1)
      .max(MODEL_FILES.length),
    /**
     * The network's output for a fixed input (`model/golden.ts`), computed when the model was signed. null if the model has no
     * step graph.
     */
    golden: z
      .strictObject({
        /** Relative to the largest magnitude of `output`. */
        tolerance: z.number().positive().max(0.1),
        output: z.array(z.number()).min(1).max(4096),
      })
      .nullable(),
  })
  .superRefine(({ files, bytes, manifest_sha256, source, chunks }, context) => {
    const issue = (path: string, message: string): void =>
      context.addIssue({ code: 'custom', path: [path], message });
    if (new Set(files.map((file) => file.name)).size < files.length) issue('files', 'names a file twice');
    if (files.reduce((sum, file) => sum + file.bytes, 0) !== bytes)
      issue('bytes', 'must be the sum of the files');
    if (source === 'mqtt' && chunks?.length !== chunksOf(bytes))
      issue('chunks', `must hold ${chunksOf(bytes)} hashes`);
    const manifest = files.find((file) => file.name === 'manifest.json');
    if (manifest?.sha256 !== manifest_sha256)
      issue('manifest_sha256', 'must be the hash of manifest.json in `files`');
  });
export type ModelClaim = z.infer<typeof modelClaimSchema>;

const probation = z
  .string('must be a duration from 1s to 24h')
  .refine((text) => isProbation(parseDuration(text) ?? 0), 'must be a duration from 1s to 24h');

const content = {
  version,
  /** Echoed in reports. */
  token: z.string().max(256).optional(),
  /** The complete remote layer. */
  config: jsonObject.optional(),
  /** A JSON merge patch (RFC 7396) on the remote layer. */
  patch: jsonObject.optional(),
  /** Restores the previously committed config. */
  rollback: z.literal(true).optional(),
  model: modelClaimSchema.optional(),
  probation: probation.optional(),
  /** Only validates and reports; applies nothing and uses up no version. */
  dry_run: z.boolean().optional(),
};

const ONE_OF = 'must contain exactly one of `config`, `patch` and `rollback`, or a `model`';
function oneContent(
  claims: { config?: unknown; patch?: unknown; rollback?: unknown; model?: unknown },
  context: z.core.$RefinementCtx,
): void {
  const { config, patch, rollback, model } = claims ?? {};
  if (rollback !== undefined && model !== undefined)
    context.addIssue({ code: 'custom', path: ['model'], message: 'cannot be used with `rollback`' });
  const given = [config, patch, rollback].filter((part) => part !== undefined).length;
  if (given > 1 || (given === 0 && model === undefined))
    context.addIssue({ code: 'custom', path: [], message: ONE_OF });
}

/** Stored content of a push that waits for its model. */
export const waitingSchema = z.object({
  config: jsonObject.optional(),
  patch: jsonObject.optional(),
  model: modelClaimSchema,
});

/** Claims of a signed push. */
export const claimsSchema = z
  .strictObject({ aud: z.string().max(512), iat: seconds, exp: seconds, ...content })
  .superRefine(oneContent);
export type Claims = z.infer<typeof claimsSchema>;

/** The plain JSON of `remote_config.unsigned: true`. */
export const unsignedSchema = z
  .strictObject({
    aud: z.string().max(512).optional(),
    iat: seconds.optional(),
    exp: seconds.optional(),
    ...content,
  })
  .superRefine(oneContent);

/** Claims of a signed request: the payload of `request/<verb>` is a JWS with these. */
export const requestClaimsSchema = z.strictObject({
  aud: z.string().max(512),
  iat: seconds,
  exp: seconds,
  /** Greater than the version of the key's last request to this gateway. */
  version,
  verb: z.string().max(32),
  transaction: z
    .union([z.string().max(128), z.number()])
    .nullable()
    .optional(),
  stream: z.string().min(1).max(1024).optional(),
  group: z.string().min(1).max(1024).optional(),
});
export type RequestClaims = z.infer<typeof requestClaimsSchema>;

export const problemSchema = z.object({ path: z.string(), text: z.string(), hint: z.string() });
/** One problem: dotted path in the push, problem, hint. */
export type Problem = z.infer<typeof problemSchema>;

/** What identifies a push in its layer. */
export const pushId = {
  version: z.number().nullable(),
  kid: z.string().nullable(),
  token: z.string().nullable(),
};
const outcome = { status: z.enum(STATUSES), code: z.number(), ...pushId };
const past = z.object({ version: z.number().nullable(), kid: z.string().nullable(), hash: z.string() });

/** `<base>/<node>/config/reported`. Readers ignore members they do not know. */
export const reportedSchema = z.object({
  /** `status`, `version`, `kid` and `token` of the last handled push. */
  ...outcome,
  /** `node` or `fleet:<group>`; null before any push. */
  layer: z.string().nullable(),
  /** Present in the answer to a dry run, which is not retained. */
  dry_run: z.literal(true).optional(),
  /** Hash of the requested config; null if it could not be computed. */
  attempted_hash: z.string().nullable(),
  /** Hash of the running config. */
  effective_hash: z.string(),
  /** The last committed config, which a rollback restores. `version` null: only the local file. */
  last_good: past,
  /** The version that was rolled back, if `status` is `rolled_back`. */
  rolled_back_from: z.number().nullable(),
  errors: z.array(problemSchema),
  /** What the probation of an applied push could not check. */
  notes: z.array(z.string()).optional(),
  needs: z.enum(NEEDS).nullable(),
  /** When the status began, ISO 8601. */
  since: z.string(),
  /** Status of the running config, which a rejected push does not change. */
  effective: z.object(outcome),
  /** Newest last, at most 8. */
  history: z.array(z.object({ ...outcome, layer: z.string(), at: z.string() })),
  /** The current model transfer, during which `status` is `applying`. */
  transfer: z.object({ model: z.string(), received: z.number(), bytes: z.number() }).nullable().optional(),
  /** Number of pushes dropped unread since the start, because too many arrived at once. */
  dropped: z.number(),
});
export type Reported = z.infer<typeof reportedSchema>;

/** `<base>/<node>/model/<name>/have`: received and missing chunks of a pushed model. */
export const haveSchema = z.object({
  manifest_sha256: sha256,
  chunks: z.number(),
  /** First and last chunk of each missing range, inclusive; at most 64 ranges, ascending. */
  missing: z.array(z.tuple([z.number(), z.number()])),
  status: z.enum(['receiving', 'complete', 'refused']),
  reason: z.string().nullable(),
});
export type Have = z.infer<typeof haveSchema>;

export const chunksOf = (bytes: number): number => Math.ceil(bytes / CHUNK_BYTES);

/** Whether a probation may last this long. */
export const isProbation = (ms: number): boolean => ms >= 1000 && ms <= 86_400_000;
