/**
 * Weights as a safetensors file: u64 little-endian length of a JSON header, the header, then the numbers.
 * Format: huggingface/safetensors, README "Format". Reads F32, F64, F16 and BF16 as float32; writes F32.
 */
import { GatecastError, type Issue, issuesText } from '../errors.ts';
import type { Tensor, Weights } from './weights.ts';

/** The format's own bound on its header. */
const MAX_HEADER_BYTES = 100_000_000;
const ALIGNMENT = 8;

interface WeightsFile {
  readonly weights: Map<string, Tensor>;
  /** Free text in the file. */
  readonly metadata: Readonly<Record<string, string>>;
}

interface Entry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

const BYTES: Readonly<Record<string, number>> = { F32: 4, F64: 8, F16: 2, BF16: 2 };

export function writeSafetensors(
  weights: Weights,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const header: Record<string, unknown> = {};
  if (Object.keys(metadata).length > 0) header.__metadata__ = metadata;
  let offset = 0;
  for (const [name, { shape, data }] of weights) {
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, offset + 4 * data.length] };
    offset += 4 * data.length;
  }
  const json = JSON.stringify(header);
  const text = new TextEncoder().encode(json);
  const headerBytes = Math.ceil(text.length / ALIGNMENT) * ALIGNMENT;
  const file = new Uint8Array(8 + headerBytes + offset);
  const view = new DataView(file.buffer);
  view.setBigUint64(0, BigInt(headerBytes), true);
  file.fill(0x20, 8, 8 + headerBytes);
  file.set(text, 8);
  let at = 8 + headerBytes;
  for (const { data } of weights.values()) {
    for (const value of data) {
      view.setFloat32(at, value, true);
      at += 4;
    }
  }
  return file;
}

/** @throws GatecastError WEIGHTS_INVALID: truncated or damaged header, offsets outside the file, NaN, unknown types */
export function readSafetensors(file: Uint8Array): WeightsFile {
  const { header, body } = readHeader(file);
  const weights = new Map<string, Tensor>();
  const issues: Issue[] = [];
  let metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(header)) {
    if (name === '__metadata__') {
      metadata = texts(value);
      continue;
    }
    const read = readEntry(value, body);
    if (typeof read === 'string') issues.push({ path: name, message: read });
    else weights.set(name, read);
  }
  if (issues.length === 0) issues.push(...layoutIssues(header, body.length));
  if (issues.length > 0) {
    const text = `The weights file cannot be used: ${issuesText(issues, 8)}.`;
    throw new GatecastError('WEIGHTS_INVALID', text, { issues });
  }
  return { weights, metadata };
}

function readHeader(file: Uint8Array): { header: Record<string, unknown>; body: Uint8Array } {
  const damaged = (what: string, cause?: unknown) =>
    new GatecastError('WEIGHTS_INVALID', `This is not a safetensors file: ${what}.`, {
      hint: 'Save it with safetensors.torch.save_file(model.state_dict(), "weights.safetensors").',
      cause,
    });
  if (file.length < 8) throw damaged(`it has ${file.length} bytes`);
  const claimed = new DataView(file.buffer, file.byteOffset).getBigUint64(0, true);
  if (claimed > MAX_HEADER_BYTES) throw damaged(`its header claims ${claimed} bytes`);
  const length = Number(claimed);
  if (8 + length > file.length) {
    throw damaged(`its header claims ${length} bytes and ${file.length - 8} follow; it may be truncated`);
  }
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(file.subarray(8, 8 + length)));
  } catch (cause) {
    throw damaged('its header is not JSON', cause);
  }
  if (typeof header !== 'object' || header === null || Array.isArray(header)) {
    throw damaged('its header is not an object');
  }
  return { header: header as Record<string, unknown>, body: file.subarray(8 + length) };
}

/** The format requires contiguous tensors, without overlaps and without extra bytes. */
function layoutIssues(header: Record<string, unknown>, bytes: number): Issue[] {
  const entries = Object.entries(header).filter((pair): pair is [string, Entry] => isEntry(pair[1]));
  entries.sort(
    ([, a], [, b]) => a.data_offsets[0] - b.data_offsets[0] || a.data_offsets[1] - b.data_offsets[1],
  );
  let end = 0;
  for (const [path, { data_offsets: offsets }] of entries) {
    if (offsets[0] !== end) {
      return [{ path, message: `begins at byte ${offsets[0]}, where the tensor before it ends at ${end}` }];
    }
    end = offsets[1];
  }
  return end === bytes ? [] : [{ path: 'file', message: `has ${bytes - end} bytes after its last tensor` }];
}

/** The text entries of the metadata; the format allows no others. */
function texts(value: unknown): Record<string, string> {
  if (typeof value !== 'object' || value === null) return {};
  return Object.fromEntries(
    Object.entries(value).filter((pair): pair is [string, string] => typeof pair[1] === 'string'),
  );
}

/** The tensor, or an error text for its entry. */
function readEntry(value: unknown, body: Uint8Array): Tensor | string {
  if (!isEntry(value)) return 'has no dtype, shape and data_offsets';
  const width = BYTES[value.dtype];
  if (width === undefined)
    return `has type ${value.dtype}; one of ${Object.keys(BYTES).join(', ')} is expected`;
  const [from, to] = value.data_offsets;
  const length = value.shape.reduce((a, b) => a * b, 1);
  if (to - from !== length * width)
    return `has ${to - from} bytes for shape [${value.shape}] of ${value.dtype}`;
  if (from < 0 || to > body.length) return 'lies outside the file, which may be truncated';
  const view = new DataView(body.buffer, body.byteOffset + from, to - from);
  const data = new Float32Array(length);
  for (let i = 0; i < length; i++) data[i] = readNumber(view, i * width, value.dtype);
  if (!data.every(Number.isFinite)) return 'contains NaN or infinite values';
  return { shape: value.shape, data };
}

function isEntry(value: unknown): value is Entry {
  const entry = value as Entry | null;
  const whole = (list: unknown): list is number[] =>
    Array.isArray(list) && list.every((one) => Number.isSafeInteger(one) && one >= 0);
  return (
    typeof entry === 'object' &&
    entry !== null &&
    typeof entry.dtype === 'string' &&
    whole(entry.shape) &&
    whole(entry.data_offsets) &&
    entry.data_offsets.length === 2
  );
}

function readNumber(view: DataView, at: number, dtype: string): number {
  if (dtype === 'F32') return view.getFloat32(at, true);
  if (dtype === 'F64') return view.getFloat64(at, true);
  const bits = view.getUint16(at, true);
  return dtype === 'F16' ? fromHalf(bits) : fromBrainFloat(bits);
}

/** IEEE 754 binary16: 1 sign, 5 exponent, 10 fraction bits. */
function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The upper half of a binary32. */
function fromBrainFloat(bits: number): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, bits << 16);
  return view.getFloat32(0);
}
