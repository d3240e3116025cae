/**
 * One description of a component's state serves saving and restoring: a component visits its fields with a
 * `StateIo`; the writer records them, the reader returns the recorded values. Numbers keep 64 bits and arrays their
 * own precision, so that a restored stream continues bit for bit.
 */
import { GatecastError } from '../errors.ts';

export type StateArray = Int8Array | Float32Array | Float64Array | Int32Array | Int16Array | Uint16Array;

export interface StateIo {
  /** True when a state is being restored. */
  readonly reading: boolean;
  /** Writing: records `value` and returns it. Reading: returns the recorded one. */
  number(value: number): number;
  /** Writing: records the elements. Reading: overwrites them in place. The length is part of the format. */
  array<T extends StateArray>(values: T): T;
}

/** Buffer for the next writer, because a new one would grow several times; null while a writer uses it. */
let spare: Uint8Array | null = null;

export class StateWriter implements StateIo {
  readonly reading = false;
  private bytes = spare ?? new Uint8Array(4096);
  private view = new DataView(this.bytes.buffer);
  private length = 0;

  constructor() {
    spare = null;
  }

  private reserve(extra: number): void {
    if (this.length + extra <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(this.bytes.length * 2, this.length + extra));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
    this.view = new DataView(grown.buffer);
  }

  number(value: number): number {
    this.reserve(8);
    this.view.setFloat64(this.length, value, true);
    this.length += 8;
    return value;
  }

  array<T extends StateArray>(values: T): T {
    this.number(values.length);
    this.reserve(values.byteLength);
    this.bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), this.length);
    this.length += values.byteLength;
    return values;
  }

  /** Call it once: another writer may use the buffer afterwards. */
  finish(): Uint8Array {
    spare = this.bytes;
    return this.bytes.slice(0, this.length);
  }
}

export class StateReader implements StateIo {
  readonly reading = true;
  private readonly view: DataView;
  private offset = 0;

  constructor(private readonly bytes: Uint8Array) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  private take(count: number): number {
    const at = this.offset;
    this.offset += count;
    if (this.offset > this.bytes.length) {
      throw new GatecastError('STATE_MISMATCH', 'The stored state ends too early.', {
        hint: 'It will be rebuilt from stored samples.',
      });
    }
    return at;
  }

  number(_value: number): number {
    return this.view.getFloat64(this.take(8), true);
  }

  array<T extends StateArray>(values: T): T {
    const length = this.number(0);
    if (length !== values.length) {
      throw new GatecastError(
        'STATE_MISMATCH',
        `A stored array has ${length} elements, but ${values.length} were expected.`,
        { hint: 'It will be rebuilt from stored samples.' },
      );
    }
    const at = this.take(values.byteLength);
    new Uint8Array(values.buffer, values.byteOffset, values.byteLength).set(
      this.bytes.subarray(at, at + values.byteLength),
    );
    return values;
  }

  /** Throws STATE_MISMATCH if bytes remain. */
  finish(): void {
    if (this.offset !== this.bytes.length) {
      throw new GatecastError('STATE_MISMATCH', 'The stored state is longer than this version writes.');
    }
  }
}
