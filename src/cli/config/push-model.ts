/** The model of a push on the operator's side: reads its files and sends the chunks that gateways request. */

import { existsSync, statSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { GatecastError } from '../../errors.ts';
import { importModel } from '../../model/import.ts';
import { MANIFEST_FILE, MODEL_NAME } from '../../model/manifest.ts';
import { loadModel } from '../../model/pack.ts';
import { readModel } from '../../model/registry.ts';
import { topicsOf } from '../../mqtt/topics.ts';
import {
  CHUNK_BYTES,
  chunksOf,
  haveSchema,
  MAX_MODEL_BYTES,
  type MODEL_FILES,
  type ModelClaim,
} from '../../remote/contract.ts';
import { bytesOf, chunkAt, type ModelBytes, modelBytes, modelClaim } from '../../remote/model-claim.ts';
import { FEATURES } from '../../series/features.ts';
import { jsonOrNull } from '../../system/json.ts';
import type { BrokerLink } from '../shared/broker.ts';
import { jsonText } from '../shared/output.ts';
import type { ModelFlags, PushContent } from './content.ts';

export interface PushedModel {
  readonly name: string;
  readonly files: ModelBytes;
  /** Absolute. */
  readonly path: string;
}

/**
 * Reads a model folder, or a step model in an ONNX file, whose name becomes the model's name.
 * @throws GatecastError FILE_UNREADABLE, MODEL_INVALID, USAGE
 */
export async function readPushedModel(path: string): Promise<PushedModel> {
  if (!existsSync(path))
    throw new GatecastError('FILE_UNREADABLE', `${path}: there is no such file or folder`);
  const found = statSync(path).isDirectory() ? folderOf(path) : await importedFrom(path);
  const total = bytesOf(found.files).length;
  if (total > MAX_MODEL_BYTES)
    throw new GatecastError(
      'USAGE',
      `${path} has ${total} bytes; a push may contain at most ${MAX_MODEL_BYTES}`,
    );
  return { ...found, path: resolve(path) };
}

function folderOf(path: string): Omit<PushedModel, 'path'> {
  const stored = readModel(path);
  loadModel(stored, FEATURES);
  return { name: stored.manifest.name, files: modelBytes(path) };
}

async function importedFrom(path: string): Promise<Omit<PushedModel, 'path'>> {
  const name = basename(path).replace(/\.onnx$/, '');
  if (!path.endsWith('.onnx') || !MODEL_NAME.test(name))
    throw new GatecastError('USAGE', `${path} is neither a model folder nor a step model called NAME.onnx`, {
      hint: 'create a model from weights with `gatecast model import`, and name its folder',
    });
  // A fixed time, so that the same file always gives the same model.
  const { manifest, step, card } = await importModel(path, {
    name,
    createdMs: 0,
    cell: null,
    like: null,
    features: FEATURES,
  });
  const files = new Map<(typeof MODEL_FILES)[number], Uint8Array>([
    [MANIFEST_FILE, Buffer.from(jsonText(manifest))],
    ['MODEL_CARD.md', Buffer.from(card)],
  ]);
  if (step !== null) files.set('step.onnx', step);
  return { name, files };
}

/** Adds the claim of a model to a content. @throws GatecastError MODEL_INVALID */
export async function withModel(
  content: PushContent,
  model: PushedModel | null,
  { modelUrl = 'mqtt' }: Pick<ModelFlags, 'modelUrl'>,
): Promise<PushContent> {
  return model === null
    ? content
    : { ...content, model: await modelClaim(model.name, model.files, modelUrl) };
}

/** Bytes per second, for all gateways together. */
export const DEFAULT_BYTES_PER_SECOND = 256 * 1024;
/** A chunk that is still missing this long after it was sent is sent again, ms. */
const AGAIN_MS = 5000;

/** Sends the chunks that gateways still miss, limited to a rate. */
export class ModelSender {
  /** By node: the missing chunks, and when each was last sent. */
  private readonly missing = new Map<string, Map<number, number>>();
  private readonly all: Uint8Array;
  private tokens = CHUNK_BYTES;
  private filledMs: number;

  /** @throws GatecastError USAGE if the files are not the signed ones */
  constructor(
    private readonly base: string,
    private readonly claim: ModelClaim,
    files: ModelBytes,
    private readonly bytesPerSecond: number,
    nowMs: number,
  ) {
    this.all = bytesOf(files);
    this.filledMs = nowMs;
  }

  /** Filter of the gateways' reports about their transfers. */
  get filter(): string {
    return `${this.base}/+/model/${this.claim.name}/have`;
  }

  /** @returns the node, if its transfer has made progress; otherwise null */
  heard(topic: string, payload: Uint8Array, nowMs: number): string | null {
    const node = topic.startsWith(`${this.base}/`)
      ? (topic.slice(this.base.length + 1).split('/')[0] ?? '')
      : '';
    if (node === '' || topic !== topicsOf(this.base, node).modelHave(this.claim.name)) return null;
    const have = haveSchema.safeParse(jsonOrNull(payload)).data;
    const { manifest_sha256, bytes } = this.claim;
    if (have?.manifest_sha256 !== manifest_sha256 || have.chunks !== chunksOf(bytes)) return null;
    if (have.status !== 'receiving') {
      this.missing.delete(node);
      return node;
    }
    const before = this.missing.get(node);
    const wanted = new Map<number, number>();
    for (const [first, last] of have.missing)
      for (let number = first; number <= last && number < have.chunks; number++) {
        const sentMs = before?.get(number) ?? Number.NEGATIVE_INFINITY;
        wanted.set(number, nowMs - sentMs > AGAIN_MS ? Number.NEGATIVE_INFINITY : sentMs);
      }
    this.missing.set(node, wanted);
    return before === undefined || wanted.size < before.size ? node : null;
  }

  /** Sends as many chunks as the rate allows, one per gateway in turn. */
  async send(link: BrokerLink, now: () => number): Promise<void> {
    const nowMs = now();
    // At most the tokens of one second, so that no burst follows a pause.
    const most = Math.max(CHUNK_BYTES, this.bytesPerSecond);
    this.tokens = Math.min(most, this.tokens + ((nowMs - this.filledMs) / 1000) * this.bytesPerSecond);
    this.filledMs = nowMs;
    for (let sent = true; sent; ) {
      sent = false;
      for (const [node, chunks] of this.missing) {
        if (this.tokens < CHUNK_BYTES) return;
        const next = [...chunks].find(([, sentMs]) => sentMs === Number.NEGATIVE_INFINITY);
        if (next === undefined) continue;
        const [number] = next;
        chunks.set(number, now());
        this.tokens -= CHUNK_BYTES;
        const topic = topicsOf(this.base, node).modelChunk(this.claim.name, number);
        await link.publish({ topic, payload: chunkAt(this.all, number), qos: 1, retain: false });
        sent = true;
      }
    }
  }
}
