/**
 * The stored state of pushes: phase of the current push; committed, previous and candidate config; versions by layer and
 * key; the last report. Two copies are written in turn, with a sequence number and a checksum, so that one damaged file
 * does not lose the state. Layers are in immutable files named by their hash; a switch between them is one write of the
 * state.
 */
import { z } from 'zod';
import { errorText } from '../errors.ts';
import { sha256 } from '../system/files.ts';
import { problemSchema, pushId, reportedSchema } from './contract.ts';
import type { Layers } from './layers.ts';

const PHASES = [
  'idle',
  /** Authentic: signature, audience and version are valid. */
  'received',
  /** The resulting effective config is valid. */
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
  /** Hash of the file with the layers. */
  layers: hash,
  ...pushId,
  /** Hash of the effective config when it was staged. */
  hash: z.string(),
});
export type Slot = z.infer<typeof slotSchema>;

const pushSchema = z.strictObject({
  layer: z.string(),
  ...pushId,
  digest: z.string(),
  attemptedHash: z.string().nullable(),
  probationMs: z.number(),
  needs: z.enum(['hot', 'reconnect', 'restart']).nullable(),
  /** State of the agent before the change, for a probation after a restart. */
  baseline: z
    .strictObject({
      /** Streams that had forecasts, up to a maximum. */
      streams: z.array(z.string()),
      rssMb: z.number(),
      alerts: z.array(z.string()),
      /** The change removes a rule, so its streams end. */
      ruleGone: z.boolean(),
    })
    .nullable(),
  /** Reasons of a rollback. */
  problems: z.array(problemSchema),
  /** Older pushes without a verdict whose content is part of the candidate: they share its verdict. */
  includes: z
    .array(
      z.strictObject({
        layer: z.string(),
        ...pushId,
        /** It ran on probation before the newer push arrived. */
        ran: z.boolean().optional(),
      }),
    )
    .default([]),
});
export type Push = z.infer<typeof pushSchema>;

/** Layer -> key id -> highest version seen. Unsigned pushes count as key `unsigned`. */
const versionsSchema = z.record(z.string(), z.record(z.string(), z.number()));
export type Versions = z.infer<typeof versionsSchema>;

/** A push that waits for its model. */
const incomingSchema = z.strictObject({
  ...pushId,
  ...pushSchema.pick({ layer: true, digest: true, probationMs: true }).shape,
  /** Hash of the file with its content. */
  content: hash,
  /** Number of started checks of the model, to stop after repeated crashes. */
  checks: z.number(),
});
export type WaitingPush = z.infer<typeof incomingSchema>;

const stateSchema = z.strictObject({
  format: z.literal(1),
  sequence: z.number(),
  phase: z.enum(PHASES),
  push: pushSchema.nullable(),
  /** Number of starts with the candidate without a commit. */
  starts: z.number(),
  /** Last committed config. */
  current: slotSchema,
  /** Previously committed config. */
  previous: slotSchema.nullable(),
  candidate: slotSchema.nullable(),
  versions: versionsSchema,
  /** Layer -> digest of the last handled push. */
  handled: z.record(z.string(), z.string()),
  reported: reportedSchema.nullable(),
  /** Pushes being read: digest of the newest, and number of crashes meanwhile. */
  reading: z.strictObject({ digest: z.string(), ended: z.number() }).nullable(),
  /** Digest of a push interrupted before it was applied, which is accepted again with the same version. */
  again: z.string().nullable(),
  incoming: incomingSchema.nullable().default(null),
  /** Names of models that pushes have added to the registry, to remove them when unused. */
  models: z.array(z.string()).default([]),
});
export type State = z.infer<typeof stateSchema>;
type Change = Partial<Omit<State, 'format' | 'sequence'>>;

/** A folder of files that are replaced atomically and durably. Methods may throw the system's error. */
export interface Folder {
  /** null if there is no such file. */
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

/** Only the local file, without remote layers. */
const EMPTY_BODY = layersBody({}, {});
export const LOCAL_FILE_ONLY: Slot = {
  layers: sha256(EMPTY_BODY),
  version: null,
  kid: null,
  token: null,
  hash: '',
};

export class PushState {
  private state: State;
  /** Damage found when opened; null: none. */
  readonly damage: string | null;
  /** Whether only one copy had the current state when opened, because the process ended between two writes. */
  readonly uneven: boolean;
  /** Whether no copy can be read. They are not replaced then, so that the next start finds the state. */
  private readonly isUnread: boolean;

  constructor(private readonly folder: Folder) {
    const copies = COPIES.map((name) => readCopy(folder, name));
    const valid = copies.flatMap(({ state }) => state ?? []).sort((a, b) => b.sequence - a.sequence);
    const damaged = COPIES.filter((_, at) => copies[at]?.damaged);
    const [newest, older] = valid;
    this.isUnread = newest === undefined && copies.some(({ isUnread }) => isUnread);
    this.damage =
      damaged.length === 0
        ? null
        : `${damaged.join(' and ')} of remote config ${this.isUnread ? 'cannot be read' : 'was damaged'}`;
    this.uneven = newest !== undefined && (older === undefined || !sameContent(newest, older));
    this.state = newest ?? this.anew(damaged.length > 0 && !this.isUnread);
  }

  get now(): State {
    return this.state;
  }

  /** Why the current state could not be written; null: it is written. */
  unwritten: string | null = null;

  /** Writes a changed state. @throws the system's error; the state is then unchanged */
  put(change: Change): void {
    const state = this.with(change);
    this.write(state);
    this.state = state;
    this.unwritten = null;
  }

  /** Takes effect even if the disk cannot be written: neither a start of the agent nor a rollback may fail because of it. */
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

  /** Writes the current state to both copies. */
  settle(): void {
    this.putAnyway({});
    this.removeUnused();
  }

  /** Stores layers; they are used only when `put` refers to them. @returns their name */
  keep(layers: Layers, versions: Versions): string {
    const body = layersBody(layers, versions);
    const name = sha256(body);
    if (name !== LOCAL_FILE_ONLY.layers) this.folder.write(slotFile(name), body);
    return name;
  }

  /** null if the file is damaged or missing. */
  layersOf(slot: Slot): Layers | null {
    if (slot.layers === LOCAL_FILE_ONLY.layers) return {};
    return readLayers(this.folder, slot.layers)?.layers ?? null;
  }

  /** @throws the system's error if the layers that a push would change cannot be read now */
  mustRead(): void {
    for (const slot of [this.state.current, this.state.candidate])
      if (slot !== null && slot.layers !== LOCAL_FILE_ONLY.layers) this.folder.read(slotFile(slot.layers));
  }

  /** Stores the content of a push that waits for its model. @returns its name */
  keepContent(content: unknown): string {
    const body = Buffer.from(JSON.stringify(content));
    const name = sha256(body);
    this.folder.write(contentFile(name), body);
    return name;
  }

  /** null if the file is damaged or missing. */
  contentOf({ content }: WaitingPush): unknown {
    const bytes = readable(this.folder, contentFile(content));
    return bytes === null || sha256(bytes) !== content
      ? null
      : JSON.parse(Buffer.from(bytes).toString('utf8'));
  }

  private write(state: State): void {
    if (this.isUnread) throw new Error(this.damage ?? '');
    const body = JSON.stringify(state);
    const copy = COPIES[state.sequence % 2] ?? COPIES[0];
    this.folder.write(copy, Buffer.from(`${sha256(body)}\n${body}\n`));
  }

  /** A new state if both copies are missing or damaged. Versions are read from the layer files, to refuse old pushes. */
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
      current: LOCAL_FILE_ONLY,
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

  /** Removes unused files and the remains of interrupted writes. Files that cannot be removed are left for the next call. */
  removeUnused(): void {
    try {
      this.removeAllUnused();
    } catch {
      // The disk is read-only; unused files do no harm.
    }
  }

  private removeAllUnused(): void {
    if (this.isUnread) return;
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

interface Copy {
  readonly state: State | null;
  readonly damaged: boolean;
  readonly isUnread?: boolean;
}

function readCopy(folder: Folder, name: string): Copy {
  let bytes: Uint8Array | null;
  try {
    bytes = folder.read(name);
  } catch {
    return { state: null, damaged: true, isUnread: true };
  }
  if (bytes === null) return { state: null, damaged: false };
  const text = Buffer.from(bytes).toString('utf8');
  const end = text.indexOf('\n');
  const body = text.slice(end + 1, -1);
  if (sha256(body) !== text.slice(0, end)) return { state: null, damaged: true };
  const parsed = stateSchema.safeParse(JSON.parse(body));
  return parsed.success ? { state: parsed.data, damaged: false } : { state: null, damaged: true };
}

/** Null also if the file cannot be read. */
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
