import { describe, expect, it } from 'vitest';
import { readSafetensors, writeSafetensors } from '../../src/network/safetensors.ts';
import type { Tensor } from '../../src/network/weights.ts';

const weights = new Map<string, Tensor>([
  ['a', { shape: [2, 3], data: Float32Array.of(1, -2, 3.5, 0, 1e-30, -1e30) }],
  ['b', { shape: [], data: Float32Array.of(7) }],
]);

/** A file with this header and `body` bytes of zeros. */
function fileOf(header: string, body = 0): Uint8Array {
  const text = new TextEncoder().encode(header);
  const file = new Uint8Array(8 + text.length + body);
  new DataView(file.buffer).setBigUint64(0, BigInt(text.length), true);
  file.set(text, 8);
  return file;
}
const padded = (file: Uint8Array, more: number) => Uint8Array.from([...file, ...new Uint8Array(more)]);
const tensor = (entry: object) => JSON.stringify({ w: entry });

describe('safetensors', () => {
  it('returns the written tensors', () => {
    const { weights: read, metadata } = readSafetensors(writeSafetensors(weights, { cell: 'gru' }));
    expect(read).toEqual(weights);
    expect(metadata).toEqual({ cell: 'gru' });
  });

  it('starts the numbers at a multiple of 8 bytes', () => {
    const file = writeSafetensors(weights);
    expect((new DataView(file.buffer).getUint32(0, true) + 8) % 8).toBe(0);
  });

  it('reads half, brain and double floats', () => {
    const header = JSON.stringify({
      half: { dtype: 'F16', shape: [3], data_offsets: [0, 6] },
      brain: { dtype: 'BF16', shape: [1], data_offsets: [6, 8] },
      double: { dtype: 'F64', shape: [1], data_offsets: [8, 16] },
    });
    const file = fileOf(header, 16);
    const view = new DataView(file.buffer, file.length - 16);
    view.setUint16(0, 0x3c00, true); // 1
    view.setUint16(2, 0xc500, true); // -5
    view.setUint16(4, 0x0001, true); // the smallest subnormal
    view.setUint16(6, 0x4049, true); // 3.140625
    view.setFloat64(8, -0.25, true);
    const read = readSafetensors(file).weights;
    expect([...read.get('half')!.data]).toEqual([1, -5, 2 ** -24]);
    expect(read.get('brain')!.data[0]).toBe(3.140625);
    expect(read.get('double')!.data[0]).toBe(-0.25);
  });

  const good = writeSafetensors(weights);
  const nan = writeSafetensors(new Map([['w', { shape: [1], data: Float32Array.of(Number.NaN) }]]));
  it.each([
    ['an empty file', new Uint8Array(0), 'it has 0 bytes'],
    ['a truncated header', good.subarray(0, 40), 'it may be truncated'],
    ['truncated numbers', good.subarray(0, good.length - 1), 'b lies outside the file'],
    ['numbers behind the last tensor', padded(good, 4), 'file has 4 bytes after its last tensor'],
    [
      'a hole between tensors',
      fileOf(JSON.stringify({ w: { dtype: 'F32', shape: [1], data_offsets: [4, 8] } }), 8),
      'w begins at byte 4, where the tensor before it ends at 0',
    ],
    [
      'tensors that share numbers',
      fileOf(
        JSON.stringify({
          v: { dtype: 'F32', shape: [2], data_offsets: [0, 8] },
          w: { dtype: 'F32', shape: [1], data_offsets: [4, 8] },
        }),
        8,
      ),
      'w begins at byte 4, where the tensor before it ends at 8',
    ],
    ['an absurd header length', new Uint8Array(16).fill(255), 'its header claims'],
    ['a header that is not JSON', fileOf('{"w":'), 'its header is not JSON'],
    ['a header that is a list', fileOf('[]'), 'its header is not an object'],
    ['an entry without a shape', fileOf(tensor({ dtype: 'F32' })), 'w has no dtype, shape'],
    [
      'a negative size',
      fileOf(tensor({ dtype: 'F32', shape: [-1], data_offsets: [0, 4] }), 4),
      'w has no dtype',
    ],
    ['integers', fileOf(tensor({ dtype: 'I64', shape: [1], data_offsets: [0, 8] }), 8), 'w has type I64'],
    ['a wrong size', fileOf(tensor({ dtype: 'F32', shape: [2], data_offsets: [0, 4] }), 4), 'w has 4 bytes'],
    ['NaN', nan, 'w contains NaN or infinite values'],
  ])('refuses %s', (_name, file, message) => {
    expect(() => readSafetensors(file)).toThrow(expect.objectContaining({ code: 'WEIGHTS_INVALID' }));
    expect(() => readSafetensors(file)).toThrow(message);
  });
});
