/** Named float32 arrays as JSON, to the last bit: base64 of their bytes, little endian on both sides. */
import type { NamedArray } from '../../src/model/sessions.ts';

export type PackedArrays = Record<string, { readonly shape: readonly number[]; readonly bytes: string }>;

export const packArrays = (arrays: Readonly<Record<string, NamedArray>>): PackedArrays =>
  Object.fromEntries(
    Object.entries(arrays).map(([name, { shape, data }]) => [
      name,
      { shape, bytes: Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64') },
    ]),
  );

export const unpackArrays = (packed: PackedArrays): Record<string, NamedArray> =>
  Object.fromEntries(
    Object.entries(packed).map(([name, { shape, bytes }]) => [
      name,
      // A copy: the offset of a small Buffer need not be a multiple of four.
      { shape, data: new Float32Array(new Uint8Array(Buffer.from(bytes, 'base64')).buffer) },
    ]),
  );
