/**
 * The streams of one partition: readings of its log in, forecasts out. Everything depends on the log alone, also time: at the first
 * message of every new second of the server's clock, buckets are closed up to the time that the bridges have confirmed. So every
 * reader of the log makes the same forecasts, from the beginning or from a checkpoint, at any speed and with any machine's clock.
 */
import { GatecastError } from '../errors.ts';
import { Engine } from '../forecast/engine.ts';
import type { StreamSnapshot } from '../forecast/engine-contract.ts';
import type { Forecast } from '../forecast/forecast.ts';
import type { Model } from '../forecast/model.ts';
import { PartsPools } from '../forecast/parts-pool.ts';
import type { Sample } from '../series/sample.ts';
import { type StreamSpec, stateSettings } from '../series/spec.ts';
import { type Batch, CONFIGURED, type ModelRef } from './batch.ts';
import {
  type Checkpoint,
  type CheckpointStream,
  decodeCheckpoint,
  encodeCheckpoint,
  type StreamGrid,
} from './checkpoint.ts';
import { hash32 } from './names.ts';
import type { StreamScore } from './scores.ts';
import { Turns } from './turns.ts';

/** Buckets are closed at most once in this time of the log, ms. */
const TICK_MS = 1000;
/** A bridge that has been silent for this long no longer holds the time back, ms. */
const BRIDGE_MS = 60_000;
/**
 * While a bridge takes a backlog, its readings may come in any order: an MQTT broker whose window of unacknowledged messages was full
 * sends newer messages before older ones. They wait until the bridge confirms a time again, then are taken in order of time: at most
 * MOST_WAITING readings, at most for WAIT_MS.
 */
const WAIT_MS = 30_000;
const MOST_WAITING = 20_000;
/** A stream without a reading for this long is forgotten, ms. */
const FORGET_MS = 90 * 86_400_000;
/** Streams written to a checkpoint in one turn of the event loop. */
const AT_A_TIME = 32;
/** Past inputs of each stream, from which another model begins (decision 9). */
const WARM_UP_STEPS = 32;
/** Memory of a stream with 24 leads that is not packed, and the part of it in V8's heap, bytes (`docs/performance.md`, a site). */
const STREAM_BYTES = 54_000;
const OBJECT_BYTES = 14_000;
/** Share of the memory that streams may take before they are packed: other members may run on the machine. */
const MOST_MEMORY = 1 / 4;
/** The same of V8's heap: a heap that is nearly full is collected all the time. */
const MOST_HEAP = 1 / 2;

/** Memory that a process may use, bytes. */
export interface MemoryLimits {
  readonly total: number;
  readonly heap: number;
}

/**
 * Whether a worker with so many streams packs those that wait for their next bucket (decision 29). Packed they take less memory, and
 * a half more processor time; their forecasts are the same.
 */
export function mustPack(streams: number, { total, heap }: MemoryLimits): boolean {
  return streams * STREAM_BYTES > MOST_MEMORY * total || streams * OBJECT_BYTES > MOST_HEAP * heap;
}

/** The model of a site; rejects while it cannot be had. Not called for the model of the config. */
export type OpenModel = (ref: ModelRef) => Promise<Model>;

export interface PartitionOptions {
  readonly openModel?: OpenModel;
  /** Whether a stream belongs to the partition; others are covariates only. */
  readonly isOwn?: (stream: string) => boolean;
  readonly shares?: PartitionShares;
}

/** What the partitions of a worker share, so that few objects and buffers serve the streams of all of them. */
export class PartitionShares {
  readonly pools = new PartsPools();
  /** Engines that share pools step one after the other. */
  readonly steps = new Turns(1);
  private streams = 0;

  constructor(private readonly memory: MemoryLimits = { total: Infinity, heap: Infinity }) {}

  /** A partition has one more stream: a worker that takes over many partitions packs their streams as it loads them. */
  add(): void {
    this.count(this.streams + 1);
  }

  /** @param streams of all partitions */
  count(streams: number): void {
    this.streams = streams;
    this.pools.isCrowded = mustPack(streams, this.memory);
  }
}

const NO_MODELS: OpenModel = (ref) =>
  Promise.reject(new GatecastError('SITE_FAILED', `There is no model ${ref.number}.`));

/** What a bridge vouched for, and when it was last heard of by the server's clock; ms. */
export interface BridgeTime {
  readonly untilMs: number | null;
  readonly heardMs: number;
}

/** Readings of a bridge that takes a backlog. */
interface Waiting {
  readonly samples: Sample[];
  /** When the first of them was stored by the server, ms. */
  readonly sinceMs: number;
}

interface Member {
  spec: StreamSpec;
  /** Of another partition: it is here because streams of this one may name it as a covariate. Its forecasts are not returned. */
  readonly isGuest: boolean;
  /** Readings of open buckets, which a snapshot leaves out: time, value and arrival in turn. */
  open: number[];
  /** The newest forecast as it was published. */
  last: string | null;
  newestMs: number;
}

export class Partition {
  /** Of the last message taken. */
  seq = 0;
  /** When the server stored the last message taken, ms. */
  loggedMs = 0;
  /** Of the last message that closed buckets, in whole seconds of the server's clock, ms. */
  tickMs = 0;
  /** Readings that were not used, by reason. */
  readonly refused: Record<string, number> = {};
  samples = 0;
  private readonly engine: Engine;
  private readonly bridges = new Map<string, BridgeTime>();
  private readonly waiting = new Map<string, Waiting>();
  private readonly members = new Map<string, Member>();
  /** Up to which buckets may be closed, ms; null: not known yet. */
  private untilMs: number | null = null;

  private readonly openModel: OpenModel;
  private readonly isOwn: (stream: string) => boolean;
  private readonly shares: PartitionShares;
  private guests = 0;

  /**
   * @param model that forecasts until the log names another one
   * @param modelRef its number
   */
  constructor(
    public model: Model | null,
    { openModel = NO_MODELS, isOwn = () => true, shares = new PartitionShares() }: PartitionOptions = {},
    public modelRef: ModelRef = CONFIGURED,
  ) {
    this.openModel = openModel;
    this.isOwn = isOwn;
    this.engine = new Engine(model, { warmUpSteps: WARM_UP_STEPS, pools: shares.pools });
    this.shares = shares;
  }

  /** Identifies states of the model and this version. */
  get stateHash(): string {
    return this.engine.modelHash;
  }

  get size(): number {
    return this.members.size - this.guests;
  }

  /** Whether readings wait for others that belong before them. They are in no checkpoint: save none now. */
  get isWaiting(): boolean {
    return this.waiting.size > 0;
  }

  /** The newest forecast of a stream as it was published; null: none yet. Undefined: the partition has no such stream. */
  last(stream: string): string | null | undefined {
    const member = this.members.get(stream);
    return member?.isGuest === true ? undefined : member?.last;
  }

  setLast(stream: string, text: string): void {
    const member = this.members.get(stream);
    if (member !== undefined) member.last = text;
  }

  /** Live scores of some streams since the last change of the model: always the same streams. @param most of them */
  scores(most: number): StreamScore[] {
    const own = [...this.members].flatMap(([name, { isGuest }]) => (isGuest ? [] : [name]));
    return own
      .map((name) => [hash32(name), name] as const)
      .sort(([a], [b]) => a - b)
      .slice(0, most)
      .flatMap(([, stream]) => this.engine.networkScores(stream).map((one) => ({ stream, ...one })));
  }

  specs(): StreamSpec[] {
    return [...this.members.values()].map(({ spec }) => spec);
  }

  /**
   * Takes the next message of the log.
   * @param loggedMs when the server stored it
   * @param breathe yields to the event loop in a long run
   * @returns the forecasts of the buckets that are over with it
   * @throws GatecastError SITE_FAILED, MODEL_INVALID if it names a model that cannot be used; it is then not taken
   */
  async take(
    seq: number,
    loggedMs: number,
    batch: Batch,
    breathe: () => Promise<void> | undefined = () => undefined,
  ): Promise<Forecast[]> {
    if (batch.model !== undefined) {
      await this.adopt(batch.model);
      this.seq = seq;
      this.loggedMs = loggedMs;
      return [];
    }
    for (const spec of batch.specs) this.meet(spec);
    const before = this.bridges.get(batch.bridge)?.untilMs ?? null;
    this.order(batch, loggedMs, before);
    this.seq = seq;
    this.loggedMs = loggedMs;
    this.bridges.set(batch.bridge, { untilMs: batch.untilMs ?? before, heardMs: loggedMs });
    const tickMs = Math.floor(loggedMs / TICK_MS) * TICK_MS;
    if (tickMs <= this.tickMs) return [];
    this.tickMs = tickMs;
    this.moveTime(loggedMs);
    const made = await this.shares.steps.take(() => this.engine.tick(this.untilMs, false, { breathe }));
    return this.guests === 0
      ? made
      : made.filter(({ stream }) => this.members.get(stream)?.isGuest === false);
  }

  /** State as of the last message. Take none while this runs, and do not call it while readings wait. */
  async checkpoint(breathe: () => Promise<void>): Promise<Uint8Array> {
    this.forgetSilent();
    const streams: CheckpointStream[] = [];
    const grids = this.grids();
    for (const [name, member] of this.members) {
      const snapshot = this.snapshot(name);
      if (snapshot !== null) member.open = since(member.open, snapshot.replayFromMs);
      const { spec, open, last } = member;
      const grid = grids.get(name);
      streams.push({ spec, open, last, newestMs: member.newestMs, snapshot, ...(grid && { grid }) });
      if (streams.length % AT_A_TIME === 0) await breathe();
    }
    const { seq, loggedMs, tickMs, untilMs } = this;
    const bridges = [...this.bridges];
    const { told } = this.engine;
    return encodeCheckpoint({ seq, loggedMs, tickMs, untilMs, bridges, streams, model: this.modelRef, told });
  }

  private grids(): Map<string, StreamGrid> {
    const grids = new Map<string, StreamGrid>();
    for (const { spec, intervalMs, horizonSteps: leads, bucketsSeen: buckets } of this.engine.streams()) {
      if (intervalMs === null || leads === null) continue;
      const chosen = spec.findsCovariates && { chosen: this.engine.covariatesOf(spec.name) };
      grids.set(spec.name, { intervalMs, leads, buckets, ...chosen });
    }
    return grids;
  }

  private snapshot(name: string): StreamSnapshot | null {
    const snapshot = this.engine.snapshot(name);
    return snapshot === null ? null : { ...snapshot, inputs: this.engine.inputs(name) };
  }

  private async adopt(ref: ModelRef): Promise<void> {
    if (ref.number <= this.modelRef.number) return;
    const model = await this.openModel(ref);
    await this.shares.steps.take(() => this.engine.adopt(model));
    this.model = model;
    this.modelRef = ref;
  }

  /**
   * A partition as it was at a checkpoint.
   * @returns its streams without their states, before any message, where another model or format made the states: the log is then
   *   to be read from its beginning
   * @param configured the model of a checkpoint that was made before the site had another one
   * @throws GatecastError SITE_FAILED when the bytes are damaged, or its model cannot be had
   */
  static async restore(
    bytes: Uint8Array,
    configured: Model | null,
    options: PartitionOptions = {},
  ): Promise<Partition> {
    const { openModel = NO_MODELS } = options;
    const checkpoint = decodeCheckpoint(bytes);
    const ref = checkpoint.model;
    const model = ref.number === 0 ? configured : await openModel(ref);
    const empty = (): Partition => new Partition(model, options, ref);
    try {
      return Partition.resumed(checkpoint, empty());
    } catch (error) {
      if (!(error instanceof GatecastError) || error.code !== 'STATE_MISMATCH') throw error;
      const partition = empty();
      for (const { spec, last } of checkpoint.streams) {
        partition.meet(spec);
        if (last !== null) partition.setLast(spec.name, last);
      }
      return partition;
    }
  }

  private static resumed(
    { seq, loggedMs, tickMs, untilMs, bridges, streams, told }: Checkpoint,
    partition: Partition,
  ): Partition {
    for (const { spec, open, last, newestMs, snapshot } of streams) {
      partition.engine.add(spec, snapshot ?? undefined);
      partition.enter({ spec, open, last, newestMs });
      partition.replay(spec.name, open, snapshot === null);
    }
    if (told !== undefined) partition.engine.told = told;
    partition.seq = seq;
    partition.loggedMs = loggedMs;
    partition.tickMs = tickMs;
    partition.untilMs = untilMs;
    for (const [bridge, time] of bridges) partition.bridges.set(bridge, time);
    return partition;
  }

  private meet(spec: StreamSpec): void {
    const { name } = spec;
    const known = this.members.get(name);
    if (known === undefined) {
      this.engine.add(spec);
      this.enter({ spec, open: [], last: null, newestMs: Number.NEGATIVE_INFINITY });
      return;
    }
    if (JSON.stringify(known.spec) === JSON.stringify(spec)) return;
    const snapshot = stateSettings(known.spec) === stateSettings(spec) ? this.snapshot(name) : null;
    if (snapshot !== null) known.open = since(known.open, snapshot.replayFromMs);
    known.spec = spec;
    this.engine.add(spec, snapshot ?? undefined);
    this.replay(name, known.open, snapshot === null);
  }

  private enter({ spec, open, last, newestMs }: Omit<Member, 'isGuest'>): void {
    const isGuest = !this.isOwn(spec.name);
    if (isGuest) this.guests++;
    // Without a spread, because V8 then gives each object a hidden class of its own.
    this.members.set(spec.name, { spec, open, last, newestMs, isGuest });
    this.shares.add();
  }

  /** @param before the time that the bridge had confirmed before this message, ms; null: none, so it has no backlog to take */
  private order({ bridge, untilMs, samples }: Batch, loggedMs: number, before: number | null): void {
    const { samples: held, sinceMs } = this.waiting.get(bridge) ?? { samples: [], sinceMs: loggedMs };
    held.push(...samples);
    if (held.length > 0) this.waiting.set(bridge, { samples: held, sinceMs });
    if (untilMs !== null || before === null || held.length > MOST_WAITING) this.takeWaiting(bridge);
    for (const [other, { sinceMs }] of this.waiting)
      if (loggedMs - sinceMs >= WAIT_MS) this.takeWaiting(other);
  }

  private takeWaiting(bridge: string): void {
    const inOrder = this.waiting.get(bridge)?.samples.sort((a, b) => a.timeMs - b.timeMs) ?? [];
    this.waiting.delete(bridge);
    for (const sample of inOrder) this.push(sample);
  }

  private push(sample: Sample): void {
    const outcome = this.engine.push(sample);
    const member = this.members.get(sample.stream);
    // Out of range: the engine counts such readings of an open bucket.
    if (member !== undefined && (outcome === 'accepted' || outcome === 'out-of-range')) {
      member.open.push(sample.timeMs, sample.value, sample.arrivalMs);
      member.newestMs = Math.max(member.newestMs, sample.timeMs);
    }
    if (member?.isGuest === true) return;
    if (outcome === 'accepted') this.samples++;
    else this.refused[outcome] = (this.refused[outcome] ?? 0) + 1;
  }

  /** Readings of open buckets go in again. @param asNew the state does not include what their arrival says of the delay */
  private replay(stream: string, open: readonly number[], asNew: boolean): void {
    for (let i = 0; i + 2 < open.length; i += 3) {
      const [timeMs, value, arrivalMs] = open.slice(i, i + 3);
      this.engine.push({ stream, timeMs, value, arrivalMs: asNew ? arrivalMs : Number.NaN });
    }
  }

  /** Buckets are over as far as all bridges vouch for; a bridge that knows nothing yet holds the time where it is. */
  private moveTime(loggedMs: number): void {
    let leastMs = Number.POSITIVE_INFINITY;
    for (const [bridge, { untilMs, heardMs }] of this.bridges) {
      if (loggedMs - heardMs > BRIDGE_MS) this.bridges.delete(bridge);
      else leastMs = Math.min(leastMs, untilMs ?? Number.NEGATIVE_INFINITY);
    }
    if (Number.isFinite(leastMs)) this.untilMs = Math.max(this.untilMs ?? leastMs, leastMs);
  }

  private forgetSilent(): void {
    for (const [name, { newestMs, isGuest }] of this.members) {
      if (!(newestMs < (this.untilMs ?? 0) - FORGET_MS)) continue;
      if (isGuest) this.guests--;
      this.engine.remove(name);
      this.members.delete(name);
    }
  }
}

function since(open: readonly number[], fromMs: number): number[] {
  const kept: number[] = [];
  for (let i = 0; i + 2 < open.length; i += 3)
    if (open[i] >= fromMs) kept.push(open[i], open[i + 1], open[i + 2]);
  return kept;
}
