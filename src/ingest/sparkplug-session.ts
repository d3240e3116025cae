/**
 * State for reading Sparkplug B: the births (which define aliases) and the sequence number of each edge node. Shared by
 * all rules of a router; reads each message only once.
 * Sparkplug 3.0: topics chapter 4, sequence numbers 6.4.5, births and deaths 5.4 to 5.10.
 */
import { BoundedCache } from './bounded-cache.ts';
import type { DecodeSink } from './decoder.ts';
import type { Message } from './message.ts';
import { excerpt } from './rejects.ts';
import {
  decodeSparkplug,
  encodeRebirth,
  hasTooManyMetrics,
  type SparkplugMetric,
  type SparkplugPayload,
} from './sparkplug-payload.ts';

/** A metric, completed from its birth. */
export interface ResolvedMetric {
  readonly name: string;
  readonly datatype: number | undefined;
  readonly unit: string | null;
  /** null: neither metric nor payload has a time. */
  readonly timeMs: number | null;
  readonly sent: SparkplugMetric;
}

interface Birth {
  readonly name: string;
  readonly datatype: number | undefined;
  readonly unit: string | null;
}

interface EdgeNode {
  born: boolean;
  bdSeq: number | undefined;
  seq: number | null;
  askedMs: number;
  /** By device ('' for the node itself). */
  readonly devices: Map<string, Births>;
}

interface Births {
  readonly byName: Map<string, Birth>;
  readonly byAlias: Map<number, Birth>;
}

const MAX_NODES = 2000;
/** Maximum number of stored metrics and devices over all nodes; more than real plants have. */
const MAX_BIRTHS = 200_000;
/** Minimum time between two rebirth requests to a node. */
const ASK_AGAIN_MS = 30_000;
/** Maximum number of rebirth requests per second, over all nodes. */
const MAX_ASKS_PER_S = 20;
const DATA = new Set(['NDATA', 'DDATA']);
const BIRTH = new Set(['NBIRTH', 'DBIRTH']);
const DEATH = new Set(['NDEATH', 'DDEATH']);

const NONE: readonly ResolvedMetric[] = [];

export class SparkplugSession {
  private readonly nodes = new BoundedCache<string, EdgeNode>(MAX_NODES);
  private births = 0;
  private askSecond = 0;
  private asks = 0;
  private lastMessage: Message | null = null;
  private lastMetrics: readonly ResolvedMetric[] = NONE;

  /** The metrics of a message; empty after a reject, and for commands and deaths. */
  read(message: Message, sink: DecodeSink): readonly ResolvedMetric[] {
    if (this.lastMessage !== message) {
      this.lastMessage = message;
      this.lastMetrics = NONE;
      this.lastMetrics = this.readMetrics(message, sink);
    }
    return this.lastMetrics;
  }

  private readMetrics(message: Message, sink: DecodeSink): readonly ResolvedMetric[] {
    const [, group = '', type = '', node = '', device = ''] = message.topic.split('/');
    const known = DATA.has(type) || BIRTH.has(type) || DEATH.has(type);
    if (!known || node === '') return NONE;
    if (hasTooManyMetrics(message.payload)) {
      sink.reject('too-many-readings', excerpt(message.topic));
      return NONE;
    }
    const payload = decodeSparkplug(message.payload);
    if (payload === null) {
      sink.reject('bad-payload', `${excerpt(message.topic)} is not Sparkplug B`);
      return NONE;
    }
    const key = `${group}/${node}`;
    const edge = this.nodes.get(key) ?? this.newNode(key);
    if (type === 'NDEATH') {
      this.died(edge, payload);
      return NONE;
    }
    const ask = (): void => this.ask(group, node, edge, message.arrivalMs, sink);
    checkSequence(edge, type, payload, sink, ask);
    if (type === 'DDEATH') {
      this.forget(edge, [device]);
      return NONE;
    }
    if (BIRTH.has(type)) this.learn(key, edge, type, device, payload, message.continues);
    else if (!edge.born || !edge.devices.has(device)) ask();
    return resolve(edge.devices.get(device), payload, sink, ask);
  }

  private newNode(key: string): EdgeNode {
    const edge: EdgeNode = {
      born: false,
      bdSeq: undefined,
      seq: null,
      askedMs: Number.NEGATIVE_INFINITY,
      devices: new Map(),
    };
    this.nodes.set(key, edge);
    return edge;
  }

  /** @param continues a further part of a large birth */
  private learn(
    key: string,
    edge: EdgeNode,
    type: string,
    device: string,
    payload: SparkplugPayload,
    continues: boolean,
  ): void {
    this.births += payload.metrics.length + 1;
    if (this.births > MAX_BIRTHS) {
      this.nodes.clear();
      this.nodes.set(key, edge);
      edge.devices.clear();
      this.births = payload.metrics.length + 1;
    }
    const begun = continues ? edge.devices.get(device) : undefined;
    if (type === 'NBIRTH') {
      const bdSeq = payload.metrics.find(({ name }) => name === 'bdSeq')?.value(undefined);
      edge.bdSeq = continues ? (bdSeq ?? edge.bdSeq) : bdSeq;
      if (!continues) {
        edge.born = true;
        edge.askedMs = Number.NEGATIVE_INFINITY;
        this.forget(edge, [...edge.devices.keys()]);
      }
    }
    const births = begun ?? { byName: new Map(), byAlias: new Map() };
    for (const { name, alias, datatype, unit } of payload.metrics) {
      if (name === undefined) continue;
      const birth: Birth = { name, datatype, unit: unit ?? null };
      births.byName.set(name, birth);
      if (alias !== undefined) births.byAlias.set(alias, birth);
    }
    if (begun === undefined) this.forget(edge, [device]);
    edge.devices.set(device, births);
  }

  private forget(edge: EdgeNode, devices: readonly string[]): void {
    for (const device of devices) {
      const births = edge.devices.get(device);
      if (births !== undefined) this.births = Math.max(0, this.births - births.byName.size - 1);
      edge.devices.delete(device);
    }
  }

  /** Handles the death of a node; ignores a death that belongs to an earlier birth. */
  private died(edge: EdgeNode, payload: SparkplugPayload): void {
    const bdSeq = payload.metrics.find(({ name }) => name === 'bdSeq')?.value(undefined);
    if (bdSeq !== undefined && edge.bdSeq !== undefined && bdSeq !== edge.bdSeq) return;
    edge.born = false;
    edge.seq = null;
    this.forget(edge, [...edge.devices.keys()]);
  }

  private ask(group: string, node: string, edge: EdgeNode, nowMs: number, sink: DecodeSink): void {
    // Math.abs: a clock that was set back must not block requests for long
    if (Math.abs(nowMs - edge.askedMs) < ASK_AGAIN_MS) return;
    const second = Math.floor(nowMs / 1000);
    if (second !== this.askSecond) {
      this.askSecond = second;
      this.asks = 0;
    }
    if (this.asks >= MAX_ASKS_PER_S) return;
    this.asks += 1;
    edge.askedMs = nowMs;
    sink.request(`spBv1.0/${group}/NCMD/${node}`, encodeRebirth(nowMs));
  }
}

/** Every message of a node except its death has a sequence number that counts from 0 to 255 and wraps. */
function checkSequence(
  edge: EdgeNode,
  type: string,
  { seq }: SparkplugPayload,
  sink: DecodeSink,
  ask: () => void,
): void {
  if (seq === undefined) return;
  if (type !== 'NBIRTH' && edge.seq !== null && seq !== (edge.seq + 1) % 256) {
    sink.reject('sequence-gap', `number ${seq} follows ${edge.seq}`);
    ask();
  }
  edge.seq = seq;
}

function resolve(
  births: Births | undefined,
  payload: SparkplugPayload,
  sink: DecodeSink,
  ask: () => void,
): ResolvedMetric[] {
  const resolved: ResolvedMetric[] = [];
  for (const sent of payload.metrics) {
    if (sink.full === true) break;
    const birth =
      sent.name !== undefined
        ? births?.byName.get(sent.name)
        : sent.alias !== undefined
          ? births?.byAlias.get(sent.alias)
          : undefined;
    const name = sent.name ?? birth?.name;
    if (name === undefined) {
      sink.reject('unknown-alias', `alias ${sent.alias ?? 'missing'}`);
      ask();
      continue;
    }
    resolved.push({
      name,
      datatype: sent.datatype ?? birth?.datatype,
      unit: sent.unit ?? birth?.unit ?? null,
      timeMs: sent.timeMs ?? payload.timeMs ?? null,
      sent,
    });
  }
  return resolved;
}
