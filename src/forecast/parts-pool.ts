/**
 * Streams that wait for their next bucket share the objects that step them. Such a stream is packed: its numbers are a copy of
 * one block (`array-block.ts`), which is copied back to a set of objects of the same layout before its next step. The copies
 * are exact, so the forecasts are those of a stream with objects of its own. A stream's objects and typed arrays take 14 kB
 * beside its numbers, and each collection of the heap visits all of them. Parts of the block that are still zero (seasons of a stream
 * that is younger than they are, the share of an own network that it does not have) take no space in the copy.
 */
import type { StreamSpec } from '../series/spec.ts';
import type { StateArray, StateIo } from '../series/state-io.ts';
import { CovariateBook } from './covariate-book.ts';
import { type BlockSize, type Neighbours, type PartsLayout, StreamParts } from './parts.ts';
import { Relatives } from './relatives.ts';
import { type Scratch, Scratches } from './scratch.ts';
import { MAX_BATCH, StepArrays } from './step-batches.ts';

/** Copies the numbers that are not in arrays of the block to an array of the block, and back. */
class LooseNumbers implements StateIo {
  reading = false;
  /** Numbers copied so far. */
  count = 0;
  private numbers: Float64Array = new Float64Array(0);
  private block: ArrayBufferLike = this.numbers.buffer;

  /** @returns how many numbers there are */
  copy(parts: StreamParts, reading: boolean): number {
    this.reading = reading;
    this.numbers = parts.loose;
    this.count = 0;
    this.block = parts.memory.block;
    parts.pack(this);
    return this.count;
  }

  number(value: number): number {
    if (this.reading) return this.numbers[this.count++];
    // An array ignores what is written beyond its end; the caller compares the count.
    this.numbers[this.count++] = value;
    return value;
  }

  array<T extends StateArray>(values: T): T {
    if (values.buffer === this.block) return values;
    for (let i = 0; i < values.length; i++) values[i] = this.number(values[i]);
    return values;
  }
}

/** A chunk of the block is copied if it has a number other than 0. In words of 32 bits. */
const CHUNK = 16;
const CHUNK_BYTES = CHUNK * Int32Array.BYTES_PER_ELEMENT;
const BITS = 32;
const ALL = -1;
/** Fewer words than this are copied one by one, because a view of them would cost more. */
const FEW_WORDS = 48;
/** Lengths of copies are multiples of this, so that a growing stream seldom needs another array. In words. */
const ROOM = 256;

/** Numbers of a stream: which chunks are not 0, one bit each, and then these chunks. */
type Packed = Int32Array;

function copy(from: Int32Array, at: number, to: Int32Array, toAt: number, count: number): void {
  if (count >= FEW_WORDS) to.set(from.subarray(at, at + count), toAt);
  else for (let i = 0; i < count; i++) to[toAt + i] = from[at + i];
}

/** Whether a chunk is 0. Without a loop, in which V8 would check each index: this takes half of the time. */
function isZero(w: Int32Array, i: number): boolean {
  const one = w[i] | w[i + 1] | w[i + 2] | w[i + 3] | w[i + 4] | w[i + 5] | w[i + 6] | w[i + 7];
  if (one !== 0) return false;
  const two = w[i + 8] | w[i + 9] | w[i + 10] | w[i + 11] | w[i + 12] | w[i + 13] | w[i + 14] | w[i + 15];
  return two === 0;
}

/**
 * Marks in `map` which chunks of `words` are copied: those that are not 0, and those that were not 0 in the former copy, because few
 * become 0 again, and then need not be looked at.
 * @param map one bit for each chunk
 * @returns the length of the copy
 */
function mark(words: Int32Array, former: Packed | null, map: Int32Array): number {
  let length = map.length;
  const chunks = words.length / CHUNK;
  for (let w = 0, chunk = 0; w < map.length; w++, chunk += BITS) {
    let bits = former === null ? 0 : former[w];
    const count = Math.min(chunks - chunk, BITS);
    let at = chunk * CHUNK;
    // Most words of an old stream have all bits.
    for (let bit = 0; bit < count && bits !== ALL; bit++, at += CHUNK)
      if ((bits & (1 << bit)) === 0 && !isZero(words, at)) bits |= 1 << bit;
    map[w] = bits;
    length += CHUNK * ones(bits);
  }
  return length;
}

/** Copies the chunks that `packed` marks from the block to it, or from it to the block. */
function copyMarked(words: Int32Array, packed: Packed, packs: boolean): void {
  const chunks = words.length / CHUNK;
  let at = mapLength(words.length);
  let first = next(packed, chunks, 0, true);
  while (first < chunks) {
    const end = next(packed, chunks, first, false);
    const count = (end - first) * CHUNK;
    if (packs) copy(words, first * CHUNK, packed, at, count);
    else copy(packed, at, words, first * CHUNK, count);
    at += count;
    first = next(packed, chunks, end, true);
  }
}

/** @param words of a block. @returns words that have a bit for each chunk */
const mapLength = (words: number): number => Math.ceil(words / CHUNK / BITS);

/** The first chunk from `from` on that is marked, or that is not; `chunks` if there is none. */
function next(map: Int32Array, chunks: number, from: number, marked: boolean): number {
  let ignored = (1 << (from & (BITS - 1))) - 1;
  for (let w = from >> 5; w << 5 < chunks; w++, ignored = 0) {
    const bits = (marked ? map[w] : ~map[w]) & ~ignored;
    if (bits !== 0) return Math.min(chunks, (w << 5) + BITS - 1 - Math.clz32(bits & -bits));
  }
  return chunks;
}

/** How many bits are 1. */
function ones(bits: number): number {
  const pairs = bits - ((bits >>> 1) & 0x55555555);
  const fours = (pairs & 0x33333333) + ((pairs >>> 2) & 0x33333333);
  return Math.imul((fours + (fours >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

export class PartsPool {
  /** Objects that no stream uses now. */
  private readonly idle: StreamParts[] = [];
  /** A stream that has seen nothing; null until objects are used again. */
  private blank: Packed | null = null;
  private readonly loose = new LooseNumbers();
  /** Of the stream that is being packed. */
  private readonly map: Int32Array;

  constructor(
    readonly layout: PartsLayout,
    private readonly size: BlockSize,
    private readonly scratch: Scratch,
  ) {
    this.map = new Int32Array(mapLength(size.bytes / Int32Array.BYTES_PER_ELEMENT));
  }

  /** Parts of a stream that has seen nothing. */
  take(spec: StreamSpec, neighbours: Neighbours): StreamParts {
    const parts = isPackable(spec) ? this.idle.pop() : undefined;
    if (parts === undefined) return this.make(spec, neighbours);
    this.blank ??= this.pack(this.make(spec, neighbours), null);
    if (this.blank === null) return this.make(spec, neighbours);
    return this.fill(parts, this.blank, spec, neighbours);
  }

  /** Parts with the numbers of a packed stream. */
  unpack(spec: StreamSpec, packed: Packed, neighbours: Neighbours): StreamParts {
    return this.fill(this.idle.pop() ?? this.make(spec, neighbours), packed, spec, neighbours);
  }

  /**
   * Copies the numbers of a stream's parts.
   * @param into former copy of the stream, to be used again if it is long enough
   * @returns null if the block does not have all of them (a stream that had no network at first)
   */
  pack(parts: StreamParts, into: Packed | null): Packed | null {
    if (this.loose.copy(parts, false) > this.size.loose) return null;
    const length = mark(parts.words, into, this.map);
    const packed =
      into !== null && into.length >= length ? into : new Int32Array(Math.ceil(length / ROOM) * ROOM);
    packed.set(this.map);
    copyMarked(parts.words, packed, true);
    return packed;
  }

  /** Other streams may use the parts from now on. */
  giveBack(parts: StreamParts): void {
    if (this.idle.length < MAX_BATCH) this.idle.push(parts);
  }

  private make(spec: StreamSpec, neighbours: Neighbours): StreamParts {
    return new StreamParts(spec, this.layout, this.scratch, neighbours, this.size);
  }

  private fill(parts: StreamParts, packed: Packed, spec: StreamSpec, { relatives }: Neighbours): StreamParts {
    parts.words.fill(0);
    copyMarked(parts.words, packed, false);
    this.loose.copy(parts, true);
    parts.step.serve(spec, relatives);
    return parts;
  }
}

/** Covariates give a stream parts of other lengths. */
export const isPackable = ({ covariates }: StreamSpec): boolean => !covariates?.length;

/** By layout; the same in all engines. Bounded, because learnt intervals can be many. */
const sizes = new Map<string, BlockSize>();
const MOST_SIZES = 1024;

/** A first set of objects tells how large the block must be, a second one which numbers are not in it. */
function sizeOf(spec: StreamSpec, layout: PartsLayout, scratch: Scratch): BlockSize {
  const plain = { ...spec, covariates: [] };
  const none = { covariates: new CovariateBook(), relatives: new Relatives() };
  const { used } = new StreamParts(plain, layout, scratch, none, { bytes: 0, loose: 0 }).memory;
  const parts = new StreamParts(plain, layout, scratch, none, { bytes: used, loose: 0 });
  const loose = new LooseNumbers().copy(parts, false);
  const bytes = used + loose * Float64Array.BYTES_PER_ELEMENT;
  return { bytes: Math.ceil(bytes / CHUNK_BYTES) * CHUNK_BYTES, loose };
}

/**
 * The pools by layout; streams hold their pool, which ends with the last of them. Engines may share them, if they step one after the
 * other: then few sets of objects, and one of input arrays, serve all of their streams.
 */
export class PartsPools {
  /** Whether the engines together have enough streams that each of them packs. */
  isCrowded = false;
  readonly arrays = new StepArrays();
  private readonly pools = new Map<string, WeakRef<PartsPool>>();
  private readonly scratches = new Scratches();

  /** @param spec of any stream of this layout */
  of(spec: StreamSpec, layout: PartsLayout): PartsPool {
    const { intervalMs, leads, stateSize, warmUpSteps } = layout;
    const circular = spec.aggregate === 'circular-mean';
    const key = `${intervalMs} ${leads} ${stateSize} ${warmUpSteps} ${circular} ${spec.coverageTarget}`;
    const known = this.pools.get(key)?.deref();
    if (known !== undefined) return known;
    for (const [former, pool] of this.pools) if (pool.deref() === undefined) this.pools.delete(former);
    const scratch = this.scratches.of(leads);
    const size = sizes.get(key) ?? sizeOf(spec, layout, scratch);
    if (sizes.size < MOST_SIZES) sizes.set(key, size);
    const pool = new PartsPool(layout, size, scratch);
    this.pools.set(key, new WeakRef(pool));
    return pool;
  }
}
