/** Queue of messages from the desired topics. Bounded: the oldest are dropped and counted. */
import { sha256 } from '../system/files.ts';
import { type LayerName, MAX_PUSH_BYTES } from './contract.ts';

export interface QueuedMessage {
  /** Layer of its topic. */
  readonly layer: LayerName;
  /** Empty if the message was too large. */
  readonly payload: Uint8Array;
  /** Length of the message. */
  readonly bytes: number;
  /** Whether it may be a copy of a push that was handled: it is retained, or of a session that the broker had kept. */
  readonly mayRepeat: boolean;
}

const MAX_MESSAGES = 256;
const MAX_BYTES = 4 * 1024 * 1024;
/** The copies of one message, one for each matching subscription, arrive within this time, ms. */
const SECOND_COPY_MS = 500;

export class PushQueue {
  private messages: QueuedMessage[] = [];
  private bytes = 0;
  /** The last message of each layer, if the broker may deliver a message twice. */
  private readonly last = new Map<LayerName, { readonly digest: string; readonly ms: number }>();

  /** @param dropped called for each dropped message */
  constructor(private readonly dropped: () => void) {}

  get empty(): boolean {
    return this.messages.length === 0;
  }

  /** @param nowMs monotonic; omitted if the broker delivers each message once */
  add(layer: LayerName, payload: Uint8Array, mayRepeat: boolean, nowMs?: number): void {
    if (nowMs !== undefined && this.isSecondCopy(layer, payload, nowMs)) return;
    // If the message is too large, only its length is needed.
    const kept = Uint8Array.from(payload.length > MAX_PUSH_BYTES ? [] : payload);
    this.messages.push({ layer, payload: kept, bytes: payload.length, mayRepeat });
    this.bytes += kept.length;
    while (this.messages.length > MAX_MESSAGES || this.bytes > MAX_BYTES) {
      this.bytes -= this.messages.shift()?.payload.length ?? 0;
      this.dropped();
    }
  }

  private isSecondCopy(layer: LayerName, payload: Uint8Array, nowMs: number): boolean {
    const digest = sha256(payload);
    const last = this.last.get(layer);
    this.last.set(layer, { digest, ms: nowMs });
    return last?.digest === digest && nowMs - last.ms < SECOND_COPY_MS;
  }

  takeAll(): QueuedMessage[] {
    this.bytes = 0;
    return this.messages.splice(0);
  }
}
