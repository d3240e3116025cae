/**
 * The file that collects the bytes of a pushed model, all its files one after the other. Its name is a signed hash. After a
 * crash or power cut, its content is verified by hashes.
 */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { makeFolder, PRIVATE_FOLDER } from '../system/files.ts';
import type { ModelClaim } from './contract.ts';

type Span = { readonly at: number; readonly bytes: number };
type ModelFile = ModelClaim['files'][number] & Span;

/** The files of a model with their places in the part file. */
export function placesOf({ files }: Pick<ModelClaim, 'files'>): ModelFile[] {
  let at = 0;
  return files.map((file) => {
    const placed = { ...file, at };
    at += file.bytes;
    return placed;
  });
}

/** Hashed without a pause. */
const PIECE_BYTES = 256 * 1024;

export class ModelPart {
  private constructor(
    private readonly path: string,
    private readonly file: FileHandle,
  ) {}

  /** Throws the system's error. */
  static async open(path: string, bytes: number): Promise<ModelPart> {
    makeFolder(dirname(path), PRIVATE_FOLDER);
    const file = await open(path, constants.O_RDWR | constants.O_CREAT, 0o600);
    try {
      const { size } = await file.stat();
      if (size > bytes) await file.truncate(bytes);
    } catch (error) {
      await file.close();
      throw error;
    }
    return new ModelPart(path, file);
  }

  /** Reads a span; the result is shorter if the file ends before. */
  async read({ at, bytes }: Span): Promise<Uint8Array> {
    const buffer = new Uint8Array(bytes);
    let done = 0;
    while (done < bytes) {
      const { bytesRead } = await this.file.read(buffer, done, bytes - done, at + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return buffer.subarray(0, done);
  }

  /** A span and its hash, computed a piece at a time, so that other work has its turn. */
  async hashed({ at, bytes }: Span): Promise<{ readonly bytes: Uint8Array; readonly hash: string }> {
    const all = new Uint8Array(bytes);
    const hash = createHash('sha256');
    let done = 0;
    while (done < bytes) {
      const piece = await this.read({ at: at + done, bytes: Math.min(PIECE_BYTES, bytes - done) });
      if (piece.length === 0) break;
      hash.update(piece);
      all.set(piece, done);
      done += piece.length;
    }
    return { bytes: all.subarray(0, done), hash: hash.digest('hex') };
  }

  async holds(span: Span, hash: string): Promise<boolean> {
    return (await this.hashed(span)).hash === hash;
  }

  async write(at: number, bytes: Uint8Array): Promise<void> {
    let done = 0;
    while (done < bytes.length) {
      const { bytesWritten } = await this.file.write(bytes, done, bytes.length - done, at + done);
      done += bytesWritten;
    }
  }

  async close(): Promise<void> {
    await this.file.close();
  }

  async remove(): Promise<void> {
    await this.close();
    await rm(this.path, { force: true });
  }
}
