/**
 * Recognises messages that the broker redelivers. At QoS 1 a broker repeats, on the next connection of a session,
 * every message whose acknowledgement it did not receive, with the same packet identifier and the DUP flag (MQTT
 * 5.0, 4.4 and 3.3.1.1). The client may already have processed such a message, if only the acknowledgement was lost
 * with the connection. Without this check, a reading without a time stamp would count twice.
 */
/** Most messages recorded per connection: more than a broker sends without an acknowledgement (Mosquitto: 20). */
const MOST = 2048;
/** Compared bytes of a payload: readings differ within their first bytes. */
const DIGEST_BYTES = 1024;

export class Redelivery {
  /** Message digests of this connection by packet identifier, oldest first. */
  private taken = new Map<number, number>();
  /** Message digests of earlier connections of the session. */
  private former = new Map<number, number>();

  /** Call at the start of a connection. @param resumed whether the broker kept the session */
  begin(resumed: boolean): void {
    this.former = resumed ? new Map([...this.former, ...this.taken]) : new Map();
    this.taken = new Map();
  }

  /** Whether this message was processed on an earlier connection. Call once for each message at QoS 1. */
  again(packetId: number, dup: boolean, topic: string, payload: Uint8Array): boolean {
    const digest = digestOf(topic, payload);
    const again = dup && this.former.get(packetId) === digest;
    this.former.delete(packetId);
    this.taken.delete(packetId);
    this.taken.set(packetId, digest);
    if (this.taken.size > MOST) this.taken.delete(this.taken.keys().next().value ?? 0);
    return again;
  }
}

/** FNV-1a over topic, length and the first bytes: sufficient together with the packet identifier and DUP. */
function digestOf(topic: string, payload: Uint8Array): number {
  let digest = 0x811c9dc5 ^ payload.length;
  for (let at = 0; at < topic.length; at++) digest = Math.imul(digest ^ topic.charCodeAt(at), 0x01000193);
  const bytes = Math.min(payload.length, DIGEST_BYTES);
  for (let at = 0; at < bytes; at++) digest = Math.imul(digest ^ (payload[at] ?? 0), 0x01000193);
  return digest >>> 0;
}
