import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StateReader, StateWriter } from '../../src/series/state-io.ts';

describe('state io', () => {
  it('keeps every number and array bit for bit', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(fc.double(), fc.float32Array({ maxLength: 50 }), fc.float64Array({ maxLength: 50 })),
          { maxLength: 40 },
        ),
        (fields) => {
          const writer = new StateWriter();
          for (const field of fields) typeof field === 'number' ? writer.number(field) : writer.array(field);
          const reader = new StateReader(writer.finish());
          for (const field of fields) {
            if (typeof field === 'number') expect(reader.number(0)).toBe(field);
            else {
              const empty =
                field instanceof Float32Array
                  ? new Float32Array(field.length)
                  : new Float64Array(field.length);
              reader.array(empty);
              expect(new Uint8Array(empty.buffer)).toEqual(
                new Uint8Array(field.buffer, field.byteOffset, field.byteLength),
              );
            }
          }
          reader.finish();
        },
      ),
    );
  });

  it('reads a state that lies somewhere inside a larger buffer', () => {
    const writer = new StateWriter();
    writer.number(7);
    writer.array(Float32Array.of(1.5, -2));
    const bytes = writer.finish();
    const larger = new Uint8Array(bytes.length + 11);
    larger.set(bytes, 5);
    const reader = new StateReader(larger.subarray(5, 5 + bytes.length));
    expect(reader.number(0)).toBe(7);
    expect([...reader.array(new Float32Array(2))]).toEqual([1.5, -2]);
    reader.finish();
  });

  it('refuses a state that is too short, too long, or has arrays of another length', () => {
    const writer = new StateWriter();
    writer.array(Float64Array.of(1, 2, 3));
    const bytes = writer.finish();
    const mismatch = expect.objectContaining({ code: 'STATE_MISMATCH' });
    expect(() => new StateReader(bytes.subarray(0, 20)).array(new Float64Array(3))).toThrow(mismatch);
    expect(() => new StateReader(bytes).array(new Float64Array(4))).toThrow(mismatch);
    const reader = new StateReader(bytes);
    reader.number(0);
    expect(() => reader.finish()).toThrow(mismatch);
  });
});
