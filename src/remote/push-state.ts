/**
 * What is kept of pushes on disk: the phase of the present one, the config that was committed, the one before it and the
 * candidate, versions by layer and key, and what was reported. Two copies, written in turn with a sequence number and a
 * checksum, so that one damaged file never loses the state. Layers are in files named by their hash that never change; a
 * switch between them is one write of the state.
 */
import { z } from 'zod';
import { errorText } from '../errors.ts';
import { sha256 } from '../system/files.ts';
import { problemSchema, reportedSchema } from './contract.ts';
import type { Layers } from './layers.ts';

export const PHASES = [
  'idle',
  /** Authentic: signature, audience and version are right. */
  'received',
  /** The effective config that it gives is valid. */
  'verified',
  /** The candidate's layers are on disk. */
  'staged',
  'applying',
  'probation',
  'committed',
  'rolling_back',
  'rolled_back',
] as const;

const hash = z.string().regex(/^[0-9a-f]{64}$/);
const slotSchema = z.strictObject({
  /** Hash of the file that holds the layers. */
  layers: hash,
  version: z.number().nullable(),
  kid: z.string().nullable(),
  token: z.string().nullable(),
  /** Of the effective config when it was staged. */
  hash: z.string(),
});
export type Slot = z.infer<typeof slotSchema>;

const pushSchema = z.strictObject({
  layer: z.string(),
  version: z.number().nullable(),
  kid: z.string().nullable(),
  token: z.string().nullable(),
  /** Of the payload. */
  digest: z.string(),
  attemptedHash: z.string().nullable(),
  probationMs: z.number(),
  needs: z.enum(['hot', 'reconnect', 'restart']).nullable(),
  /** The agent before it was applied, for a probation that begins after a restart. */
  baseline: z
    .strictObject({
      /** Streams that had forecasts; some of them where there are many. */
      streams: z.array(z.string()),
      rssMb: z.number(),
      alerts: z.array(z.string()),
      /** A rule is taken away on purpose, and its streams with it. */
      ruleGone: z.boolean(),
    })
    .nullable(),
  /** Why it is rolled back. */
  problems: z.array(problemSchema),
  /** Older pushes without a verdict whose content is part of the candidate: they share its verdict. */
  includes: z
    .array(
      z.strictObject({
        layer: z.string(),
        version: z.number().nullable(),
        kid: z.string().nullable(),
        token: z.string().nullable(),
      }),
    )
    .default([]),
});
export type Push = z.infer<typeof pushSchema>;

/** Layer -> key id -> highest version seen. Unsigned pushes count as key `unsigned`. */
const versionsSchema = z.record(z.string(), z.record(z.string(), z.number()));
export type Versions = z.infer<typeof versionsSchema>;

/** A push that waits for the model that it names. */
const incomingSchema = z.strictObject({
  ...pushSchema.pick({ layer: true, version: true, kid: true, token: true, digest: true, probationMs: true })
    .shape,
  /** Hash of the file that holds its content. */
  content: hash,
  /** How often the check of the model has begun: one that ends the agent is not checked for ever. */
  checks: z.number(),
});
export type Incoming = z.infer<typeof incomingSchema>;

const stateSchema = z.strictObject({
  format: z.literal(1),
  sequence: z.number(),
  phase: z.enum(PHASES),
  push: pushSchema.nullable(),
  /** Starts of the agent with the candidate that ended without a commit. */
  starts: z.number(),
  /** Committed last. */
  current: slotSchema,
  /** Committed before. */
  previous: slotSchema.nullable(),
  candidate: slotSchema.nullable(),
  versions: versionsSchema,
  /** Layer -> digest of the push that was handled last. */
  handled: z.record(z.string(), z.string()),
  reported: reportedSchema.nullable(),
  /** Pushes that are being read: digest of the newest, and how often the agent ended meanwhile. */
  reading: z.strictObject({ digest: z.string(), ended: z.number() }).nullable(),
  /** The push that was interrupted before it was applied: taken again with the same version. */
  again: z.string().nullable(),
  incoming: incomingSchema.nullable().default(null),
  /** Names of the models that pushes have put into the registry, for removing them when nothing needs them any more. */
  models: z.array(z.string()).default([]),
});
export type State = z.infer<typeof stateSchema>;
type Change = Partial<Omit<State, 'format' | 'sequence'>>;

/** A folder of files that are replaced whole and durably. Each method may throw the system's error. */
export interface Folder {
  /** Null where there is none. */
  read(name: string): Uint8Array | null;
  write(name: string, bytes: Uint8Array): void;
  remove(name: string): void;
  list(): readonly string[];
}

const COPIES = ['state-a.json', 'state-b.json'] as const;
const slotFile = (layers: string): string => `layers-${layers}.json`;
const contentFile = (content: string): string => `incoming-${content}.json`;
const CONTENT_FILE = /^incoming-([0-9a-f]{64})\.json$/;
const SLOT_FILE = /^layers-([0-9a-f]{64})\.json$/;

const layersBody = (layers: Layers, versions: Versions): Buffer =>
  Buffer.from(JSON.stringify({ layers, versions }));
const layersSchema = z.strictObject({
  layers: z.record(z.string(), z.record(z.string(), z.unknown())),
  versions: versionsSchema,
});

/** Nothing but the local file. */
const EMPTY_BODY = layersBody({}, {});
export const FILE_ALONE: Slot = {
  layers: sha256(EMPTY_BODY),
  version: null,
  kid: null,
  token: null,
  hash: '',
};

export class PushState {
  private state: State;
  /** What was found damaged when it was opened; null: nothing. */
  readonly damage: string | null;
  /** Whether one copy alone held the present state when it was opened: the process ended between two writes. */
  readonly uneven: boolean;

  constructor(private readonly folder: Folder) {
    const copies = COPIES.map((name) => readCopy(folder, name));
    const valid = copies.flatMap(({ state }) => state ?? []).sort((a, b) => b.sequence - a.sequence);
    const damaged = COPIES.filter((_, at) => copies[at]?.damaged);
    this.damage = damaged.length === 0 ? null : `${damaged.join(' and ')} of remote config was damaged`;
    const [newest, older] = valid;
    this.uneven = newest !== undefined && (older === undefined || !sameContent(newest, older));
    this.state = newest ?? this.anew(damaged.length > 0);
  }

  get now(): State {
    return this.state;
  }

  /** Why a state that holds all the same was not written; null: it is written. */
  unwritten: string | null = null;

  /** Written before it holds. @throws the system's error; the state is then as it was */
  put(change: Change): void {
    const state = this.with(change);
    this.write(state);
    this.state = state;
    this.unwritten = null;
  }

  /** Holds also where the disk takes nothing: neither a start of the agent nor a rollback may fail for that. */
  putAnyway(change: Change): void {
    try {
      this.put(change);
    } catch (error) {
      this.state = this.with(change);
      this.unwritten = `the state of remote config cannot be stored: ${errorText(error)}`;
    }
  }

  private with(change: Change): State {
    return { ...this.state, ...change, sequence: this.state.sequence + 1 };
  }

  /** Both copies hold the present state, so that the loss of one loses nothing. */
  settle(): void {
    this.putAnyway({});
    this.removeUnused();
  }

  /** Keeps layers; they are not in use before `put` names them. @returns what to name them by */
  keep(layers: Layers, versions: Versions): string {
    const body = layersBody(layers, versions);
    const name = sha256(body);
    if (name !== FILE_ALONE.layers) this.folder.write(slotFile(name), body);
    return name;
  }

  /** Null where the file is damaged or gone. */
  layersOf(slot: Slot): Layers | null {
    if (slot.layers === FILE_ALONE.layers) return {};
    return readLayers(this.folder, slot.layers)?.layers ?? null;
  }

  /** Keeps the content of a push that waits for its model. @returns what to name it by */
  keepContent(content: unknown): string {
    const body = Buffer.from(JSON.stringify(content));
    const name = sha256(body);
    this.folder.write(contentFile(name), body);
    return name;
  }

  /** Null where the file is damaged or gone. */
  contentOf({ content }: Incoming): unknown {
    const bytes = readable(this.folder, contentFile(content));
    return bytes === null || sha256(bytes) !== content
      ? null
      : JSON.parse(Buffer.from(bytes).toString('utf8'));
  }

  private write(state: State): void {
    const body = JSON.stringify(state);
    const copy = COPIES[state.sequence % 2] ?? COPIES[0];
    this.folder.write(copy, Buffer.from(`${sha256(body)}\n${body}\n`));
  }

  /** Both copies are gone or damaged. Versions come from the files of the layers, so that nothing old is taken again. */
  private anew(damaged: boolean): State {
    const versions: Versions = {};
    for (const name of damaged ? this.folder.list() : []) {
      const found = readLayers(this.folder, SLOT_FILE.exec(name)?.[1] ?? '');
      for (const [layer, byKid] of Object.entries(found?.versions ?? {}))
        for (const [kid, version] of Object.entries(byKid))
          versions[layer] = {
            ...versions[layer],
            [kid]: Math.max(version, versions[layer]?.[kid] ?? 0),
          };
    }
    return {
      format: 1,
      sequence: 0,
      phase: 'idle',
      push: null,
      starts: 0,
      current: FILE_ALONE,
      previous: null,
      candidate: null,
      versions,
      handled: {},
      reported: null,
      reading: null,
      again: null,
      incoming: null,
      models: [],
    };
  }

  /** Removes files that no slot names, and what a killed process left of a write. What cannot be removed stays for the next time. */
  removeUnused(): void {
    try {
      this.removeAllUnused();
    } catch {
      // A read-only disk. Nothing reads these files.
    }
  }

  private removeAllUnused(): void {
    const { current, previous, candidate, incoming } = this.state;
    const used = new Set([current, previous, candidate].map((slot) => slot?.layers));
    for (const name of this.folder.list()) {
      if (name.endsWith('.tmp')) this.folder.remove(name);
      const layers = SLOT_FILE.exec(name)?.[1];
      if (layers !== undefined && !used.has(layers)) this.folder.remove(name);
      const content = CONTENT_FILE.exec(name)?.[1];
      if (content !== undefined && content !== incoming?.content) this.folder.remove(name);
    }
  }
}

const sameContent = (a: State, b: State): boolean =>
  JSON.stringify({ ...a, sequence: 0 }) === JSON.stringify({ ...b, sequence: 0 });

function readCopy(folder: Folder, name: string): { state: State | null; damaged: boolean } {
  let bytes: Uint8Array | null;
  try {
    bytes = folder.read(name);
  } catch {
    return { state: null, damaged: true };
  }
  if (bytes === null) return { state: null, damaged: false };
  const text = Buffer.from(bytes).toString('utf8');
  const end = text.indexOf('\n');
  const body = text.slice(end + 1, -1);
  if (sha256(body) !== text.slice(0, end)) return { state: null, damaged: true };
  const parsed = stateSchema.safeParse(JSON.parse(body));
  return parsed.success ? { state: parsed.data, damaged: false } : { state: null, damaged: true };
}

/** Null also where the disk does not give it. */
function readable(folder: Folder, name: string): Uint8Array | null {
  try {
    return folder.read(name);
  } catch {
    return null;
  }
}

function readLayers(folder: Folder, name: string): z.infer<typeof layersSchema> | null {
  const bytes = name === '' ? null : readable(folder, slotFile(name));
  if (bytes === null || sha256(bytes) !== name) return null;
  const parsed = layersSchema.safeParse(JSON.parse(Buffer.from(bytes).toString('utf8')));
  return parsed.success ? parsed.data : null;
}
