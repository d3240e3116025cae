/** The claim of a pushed model: names, sizes and hashes of its files, and its golden vector. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { STEP_FILE } from '../model/manifest.ts';
import { tryInChild } from '../model/trial.ts';
import { readBounded, sha256 } from '../system/files.ts';
import { CHUNK_BYTES, chunksOf, MAX_MODEL_BYTES, MODEL_FILES, type ModelClaim } from './contract.ts';

/** Files of a model by name. */
export type ModelBytes = ReadonlyMap<(typeof MODEL_FILES)[number], Uint8Array>;

export const modelBytes = (folder: string): ModelBytes =>
  new Map(
    MODEL_FILES.flatMap((name) => {
      const path = join(folder, name);
      return existsSync(path) ? [[name, readBounded(path, MAX_MODEL_BYTES)] as const] : [];
    }),
  );

/** Tolerance of the golden vector, relative to its largest number. Integer products are exact. */
const TOLERANCE = 0.02;

/** All bytes of a model, in the order of the transfer. */
export const bytesOf = (files: ModelBytes): Uint8Array =>
  Buffer.concat(MODEL_FILES.flatMap((name) => files.get(name) ?? []));

/**
 * @param source `mqtt`, or the https URL of the folder that holds the files
 * @throws GatecastError MODEL_INVALID if the step graph cannot be run
 */
export async function modelClaim(
  name: string,
  files: ModelBytes,
  source: string,
  trial: (step: Uint8Array) => Promise<{ readonly golden: readonly (number | null)[] }> = tryInChild,
): Promise<ModelClaim> {
  const all = bytesOf(files);
  const step = files.get(STEP_FILE);
  const golden = step === undefined ? null : (await trial(step)).golden;
  return {
    name,
    manifest_sha256: sha256(files.get('manifest.json') ?? ''),
    bytes: all.length,
    source,
    ...(source === 'mqtt' && {
      chunks: Array.from({ length: chunksOf(all.length) }, (_, number) => sha256(chunkAt(all, number))),
    }),
    files: MODEL_FILES.flatMap((file) => {
      const bytes = files.get(file);
      return bytes === undefined ? [] : [{ name: file, bytes: bytes.length, sha256: sha256(bytes) }];
    }),
    golden: golden && { tolerance: TOLERANCE, output: golden.map((value) => value ?? Number.NaN) },
  };
}

export const chunkAt = (all: Uint8Array, number: number): Uint8Array =>
  all.subarray(number * CHUNK_BYTES, (number + 1) * CHUNK_BYTES);
