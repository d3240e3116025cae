/**
 * Messages at QoS 1 that the broker waits for. Their acknowledgements are sent in the order of arrival, as MQTT demands (MQTT 3.1.1,
 * 4.6): Mosquitto sends newer messages before those that wait in its queue if a message is acknowledged before an older one.
 * A ring of packet ids, because it is used for every message.
 */

/** Added to the packet id of a message that is acknowledged here, but waits for older ones. */
const DONE = 2 ** 16;
/** Mosquitto sends 20 messages at a time by default. The ring doubles when it is full, up to the number of packet ids. */
const FIRST_SIZE = 32;

export class InFlight {
  private ring = new Int32Array(FIRST_SIZE);
  /** Number of messages so far. */
  total = 0;
  /** Number of those that were acknowledged to the broker. */
  acknowledged = 0;
  /** Most messages that were in flight at once. */
  most = 0;

  /** @param send acknowledges a message to the broker */
  constructor(private readonly send: (packetId: number) => void) {}

  /** @param inFlight a number of messages that were in flight at once */
  raiseMost(inFlight: number): void {
    this.most = Math.max(this.most, inFlight);
  }

  /** From now on counts as if no more than the current messages had been in flight. */
  forgetMost(): void {
    this.most = this.total - this.acknowledged;
  }

  /** A message has arrived. @returns acknowledges it, once all before it are acknowledged */
  enter(packetId: number): () => void {
    if (this.total - this.acknowledged === this.ring.length) this.grow();
    const number = this.total++;
    this.ring[this.at(number)] = packetId;
    this.raiseMost(this.total - this.acknowledged);
    return () => this.acknowledge(number);
  }

  private acknowledge(number: number): void {
    if (number < this.acknowledged) return;
    if (number > this.acknowledged) {
      this.ring[this.at(number)] = DONE + ((this.ring[this.at(number)] ?? 0) % DONE);
      return;
    }
    let packetId = (this.ring[this.at(number)] ?? 0) % DONE;
    do {
      this.acknowledged++;
      this.send(packetId);
      packetId = (this.ring[this.at(this.acknowledged)] ?? 0) - DONE;
    } while (this.acknowledged < this.total && packetId >= 0);
  }

  /** The size is a power of two. */
  private at(number: number): number {
    return number & (this.ring.length - 1);
  }

  private grow(): void {
    const { ring: from } = this;
    const to = new Int32Array(2 * from.length);
    for (let number = this.acknowledged; number < this.total; number++)
      to[number & (to.length - 1)] = from[this.at(number)] ?? 0;
    this.ring = to;
  }
}
