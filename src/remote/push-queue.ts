/** Messages that came on the desired topics and wait to be read. Bounded: of too many, the oldest are dropped and counted. */
import type { LayerName } from './contract.ts';

export interface Message {
  /** Of the topic that it came on. */
  readonly layer: LayerName;
  /** Empty where the message was far too large. */
  readonly payload: Uint8Array;
  /** Length of the message. */
  readonly bytes: number;
  readonly retained: boolean;
}

const MAX_MESSAGES = 256;
const MAX_BYTES = 4 * 1024 * 1024;

export class PushQueue {
  private messages: Message[] = [];
  private bytes = 0;

  /** @param dropped called with the number of messages that had to go */
  constructor(private readonly dropped: (count: number) => void) {}

  get empty(): boolean {
    return this.messages.length === 0;
  }

  add(layer: LayerName, payload: Uint8Array, retained: boolean): void {
    const kept = payload.length > 2 * MAX_BYTES ? new Uint8Array(0) : Uint8Array.from(payload);
    this.messages.push({ layer, payload: kept, bytes: payload.length, retained });
    this.bytes += kept.length;
    while (this.messages.length > MAX_MESSAGES || (this.bytes > MAX_BYTES && this.messages.length > 1)) {
      this.bytes -= this.messages.shift()?.payload.length ?? 0;
      this.dropped(1);
    }
  }

  takeAll(): Message[] {
    this.bytes = 0;
    return this.messages.splice(0);
  }
}
