/**
 * Streams that wait for their next bucket share the objects that step them. Such a stream is packed: its numbers are a copy of
 * one block (`array-block.ts`), which is copied back to a set of objects of the same layout before its next step. The copies
 * are exact, so the forecasts are those of a stream with objects of its own. A stream's objects and typed arrays take 14 kB
 * beside its numbers, and each collection of the heap visits all of them.
 */
import type { StreamSpec } from '../series/spec.ts';
import type { StateArray, StateIo } from '../series/state-io.ts';
import { type BlockSize, type PartsLayout, StreamParts } from './parts.ts';
import type { Scratches } from './scratch.ts';
import { MAX_BATCH } from './step-batches.ts';

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
    this.block = parts.memory.bytes.buffer;
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

/** The objects of one layout. */
export class PartsPool {
  readonly layout: PartsLayout;
  private readonly scratches: Scratches;
  private readonly size: BlockSize;
  /** Objects that no stream uses now. */
  private readonly idle: StreamParts[] = [];
  /** A stream that has seen nothing; null until objects are used again. */
  private blank: Uint8Array | null = null;
  private readonly loose = new LooseNumbers();

  constructor(layout: PartsLayout, size: BlockSize, scratches: Scratches) {
    this.layout = layout;
    this.size = size;
    this.scratches = scratches;
  }

  /** Parts of a stream that has seen nothing. */
  take(spec: StreamSpec): StreamParts {
    const parts = isPackable(spec) ? this.idle.pop() : undefined;
    if (parts === undefined) return this.make(spec);
    this.blank ??= this.pack(this.make(spec), null);
    if (this.blank === null) return this.make(spec);
    return this.fill(parts, this.blank, spec);
  }

  /** Parts with the numbers of a packed stream. */
  unpack(spec: StreamSpec, packed: Uint8Array): StreamParts {
    return this.fill(this.idle.pop() ?? this.make(spec), packed, spec);
  }

  /**
   * Copies the numbers of a stream's parts.
   * @param into former array of the stream, to be used again
   * @returns null if the block does not have all of them (a stream that had no network at first)
   */
  pack(parts: StreamParts, into: Uint8Array | null): Uint8Array | null {
    const { bytes } = parts.memory;
    if (this.loose.copy(parts, false) > this.size.loose) return null;
    const packed = into ?? new Uint8Array(bytes.length);
    packed.set(bytes);
    return packed;
  }

  /** Other streams may use the parts from now on. */
  giveBack(parts: StreamParts): void {
    if (this.idle.length < MAX_BATCH) this.idle.push(parts);
  }

  private make(spec: StreamSpec): StreamParts {
    return new StreamParts(spec, this.layout, this.scratches, this.size);
  }

  private fill(parts: StreamParts, packed: Uint8Array, spec: StreamSpec): StreamParts {
    parts.memory.bytes.set(packed);
    this.loose.copy(parts, true);
    parts.step.serve(spec);
    return parts;
  }
}

/** Covariates give a stream parts of other lengths. */
export const isPackable = ({ covariates }: StreamSpec): boolean => !covariates?.length;

/** By layout; the same in all engines. Bounded, because learnt intervals can be many. */
const sizes = new Map<string, BlockSize>();
const MOST_SIZES = 1024;

/** A first set of objects tells how large the block must be, a second one which numbers are not in it. */
function sizeOf(spec: StreamSpec, layout: PartsLayout, scratches: Scratches): BlockSize {
  const plain = { ...spec, covariates: [] };
  const { used } = new StreamParts(plain, layout, scratches, { bytes: 0, loose: 0 }).memory;
  const parts = new StreamParts(plain, layout, scratches, { bytes: used, loose: 0 });
  const loose = new LooseNumbers().copy(parts, false);
  return { bytes: used + loose * Float64Array.BYTES_PER_ELEMENT, loose };
}

/** The pools of an engine, by layout. */
export class PartsPools {
  private readonly pools = new Map<string, PartsPool>();

  constructor(private readonly scratches: Scratches) {}

  /** @param spec of any stream of this layout */
  of(spec: StreamSpec, layout: PartsLayout): PartsPool {
    const { intervalMs, leads, stateSize, warmUpSteps } = layout;
    const circular = spec.aggregate === 'circular-mean';
    const key = `${intervalMs} ${leads} ${stateSize} ${warmUpSteps} ${circular} ${spec.coverageTarget}`;
    let pool = this.pools.get(key);
    if (pool === undefined) {
      const size = sizes.get(key) ?? sizeOf(spec, layout, this.scratches);
      if (sizes.size < MOST_SIZES) sizes.set(key, size);
      pool = new PartsPool(layout, size, this.scratches);
      this.pools.set(key, pool);
    }
    return pool;
  }
}
