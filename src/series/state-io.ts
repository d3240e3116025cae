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

export class StateWriter implements StateIo {
  readonly reading = false;
  private view: DataView<ArrayBuffer>;
  private length = 0;

  /** @param buffer the buffer of an earlier writer that is no longer used; a new buffer would have to grow several times */
  constructor(public buffer = new Uint8Array(4096)) {
    this.view = new DataView(buffer.buffer);
  }

  private reserve(extra: number): void {
    if (this.length + extra <= this.buffer.length) return;
    const grown = new Uint8Array(Math.max(this.buffer.length * 2, this.length + extra));
    grown.set(this.buffer.subarray(0, this.length));
    this.buffer = grown;
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
    this.buffer.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), this.length);
    this.length += values.byteLength;
    return values;
  }

  finish(): Uint8Array {
    return this.buffer.slice(0, this.length);
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
