/**
 * The state of a Sparkplug B edge node: which devices and metrics it has declared, with their aliases and last values, and the
 * sequence numbers. It makes the messages; `sparkplug.ts` sends them. No I/O and no clock. Rules: Eclipse Sparkplug 3.0,
 * chapters 4 (topics), 5 (session), 6.4 (payload).
 */
import type { Outgoing } from '../../mqtt/outbox.ts';
import { type EncodedMetric, encodePayload, type MetricValue } from './payload.ts';

interface EdgeNodeName {
  readonly group: string;
  readonly node: string;
}

/** A metric as a birth declares it. */
export interface DeclaredMetric {
  readonly name: string;
  readonly type: MetricValue['type'];
  readonly unit: string | null;
}

export interface MetricUpdate {
  readonly name: string;
  readonly value: number | boolean | string | null;
}

interface Metric extends DeclaredMetric {
  readonly alias: number;
  value: MetricUpdate['value'];
  quality: number;
  timeMs: number;
}

export const GOOD = 192;
export const STALE = 500;

/** Metrics of the node itself. */
const BD_SEQ = 'bdSeq';
const BD_SEQ_ALIAS = 1;
export const REBIRTH = 'Node Control/Rebirth';
const SEQUENCE = 256;

export class EdgeNode {
  private readonly root: (kind: string) => string;
  private readonly own: Map<string, Metric>;
  private readonly devices = new Map<string, Map<string, Metric>>();
  /** The last assigned alias; `bdSeq` has the first one. */
  private aliases = BD_SEQ_ALIAS;
  private seq = 0;
  private bdSeq: number;

  /** @param bdSeq of the last session of an earlier run; null: there was none */
  constructor(name: EdgeNodeName, own: readonly DeclaredMetric[], bdSeq: number | null) {
    this.root = (kind) => `spBv1.0/${name.group}/${kind}/${name.node}`;
    this.own = this.declared(own, new Map());
    this.bdSeq = bdSeq ?? SEQUENCE - 1;
  }

  get commands(): string {
    return this.root('NCMD');
  }

  get session(): number {
    return this.bdSeq;
  }

  /** The will of the next connection: its number is also in the births of that connection. */
  nextDeath(nowMs: number): Outgoing {
    this.bdSeq = (this.bdSeq + 1) % SEQUENCE;
    return this.death(nowMs);
  }

  /** The death message of the current connection, for an orderly end. */
  death(nowMs: number): Outgoing {
    const payload = encodePayload({ timeMs: nowMs, metrics: [this.bdSeqMetric(nowMs)] });
    return { topic: this.root('NDEATH'), payload, qos: 1, retain: false };
  }

  /** Births of the node and of all devices; restarts the sequence. */
  births(nowMs: number): Outgoing[] {
    this.seq = 0;
    const metrics: EncodedMetric[] = [
      { ...this.bdSeqMetric(nowMs), alias: BD_SEQ_ALIAS },
      // Commands use the name, so this metric must not have an alias (tck-id-operational-behavior-data-commands-rebirth-name-aliases).
      { name: REBIRTH, timeMs: nowMs, content: { type: 'boolean', value: false } },
      ...[...this.own.values()].map((metric) => born(metric, nowMs)),
    ];
    return [
      this.message('NBIRTH', null, metrics, nowMs),
      ...[...this.devices.keys()].map((device) => this.deviceBirth(device, nowMs)),
    ];
  }

  deviceBirth(device: string, nowMs: number): Outgoing {
    const metrics = [...(this.devices.get(device)?.values() ?? [])].map((metric) => born(metric, nowMs));
    return this.message('DBIRTH', device, metrics, nowMs);
  }

  /**
   * Replaces the metrics of a device; existing ones keep alias and value.
   * @returns whether they changed: then the device needs a birth
   */
  declare(device: string, metrics: readonly DeclaredMetric[]): boolean {
    const before = this.devices.get(device);
    const shape = (list: Iterable<DeclaredMetric>) =>
      JSON.stringify([...list].map(({ name, type, unit }) => [name, type, unit]));
    if (before !== undefined && shape(before.values()) === shape(metrics)) return false;
    this.devices.set(device, this.declared(metrics, before ?? new Map()));
    return true;
  }

  has(device: string): boolean {
    return this.devices.has(device);
  }

  /** Null if the device does not exist. */
  deviceDeath(device: string, nowMs: number): Outgoing | null {
    return this.devices.delete(device) ? this.message('DDEATH', device, [], nowMs) : null;
  }

  /**
   * Stores new values. Births contain the newest ones; unchanged values are not sent again.
   * @param quality of the values, see `GOOD`
   * @returns the message with the changes; null if there are none
   */
  data(
    device: string | null,
    updates: readonly MetricUpdate[],
    timeMs: number,
    { nowMs = timeMs, quality = GOOD } = {},
  ): Outgoing | null {
    const known = device === null ? this.own : this.devices.get(device);
    const changed = updates.flatMap(({ name, value }) => {
      const metric = known?.get(name);
      if (metric === undefined || metric.timeMs > timeMs) return [];
      const same = metric.value === value && metric.quality === quality && metric.timeMs > 0;
      metric.value = value;
      metric.quality = quality;
      metric.timeMs = timeMs;
      return same ? [] : [encoded(metric)];
    });
    return this.dataMessage(device, changed, nowMs);
  }

  /** Past values, for a host that stores them; they do not change the current values. */
  backlog(
    device: string,
    updates: readonly MetricUpdate[],
    timeMs: number,
    { nowMs, quality = GOOD }: { readonly nowMs: number; readonly quality?: number },
  ): Outgoing | null {
    const known = this.devices.get(device);
    const metrics = updates.flatMap(({ name, value }) => {
      const metric = known?.get(name);
      return metric === undefined
        ? []
        : [{ ...encoded({ ...metric, value, quality, timeMs }), historical: true }];
    });
    return this.dataMessage(device, metrics, nowMs);
  }

  private dataMessage(
    device: string | null,
    metrics: readonly EncodedMetric[],
    nowMs: number,
  ): Outgoing | null {
    if (metrics.length === 0) return null;
    return this.message(device === null ? 'NDATA' : 'DDATA', device, metrics, nowMs);
  }

  private declared(
    metrics: readonly DeclaredMetric[],
    before: ReadonlyMap<string, Metric>,
  ): Map<string, Metric> {
    return new Map(
      metrics.map((metric) => {
        const former = before.get(metric.name);
        const { alias = ++this.aliases, value = null, quality = GOOD, timeMs = 0 } = former ?? {};
        return [metric.name, { ...metric, alias, value, quality, timeMs }];
      }),
    );
  }

  private bdSeqMetric(nowMs: number): EncodedMetric {
    return { name: BD_SEQ, timeMs: nowMs, content: { type: 'int64', value: this.bdSeq } };
  }

  private message(
    kind: string,
    device: string | null,
    metrics: readonly EncodedMetric[],
    nowMs: number,
  ): Outgoing {
    const payload = encodePayload({ timeMs: nowMs, seq: this.seq, metrics });
    this.seq = (this.seq + 1) % SEQUENCE;
    const topic = device === null ? this.root(kind) : `${this.root(kind)}/${device}`;
    return { topic, payload, qos: 0, retain: false };
  }
}

/** A metric in a data message, with its alias instead of its name. */
const encoded = ({ alias, type, value, quality, timeMs }: Metric): EncodedMetric => ({
  alias,
  timeMs,
  content: { type, value } as MetricValue,
  ...(quality === GOOD ? {} : { quality }),
});

const born = (metric: Metric, nowMs: number): EncodedMetric => ({
  ...encoded(metric),
  name: metric.name,
  timeMs: metric.timeMs || nowMs,
  unit: metric.unit,
});

/**
 * A device's name as one topic level. Different names give different levels: `/` becomes `:`, and characters that could be confused with it
 * are escaped.
 */
export const deviceLevel = (device: string): string =>
  device.replace(/[%:]/g, (char) => (char === '%' ? '%25' : '%3A')).replaceAll('/', ':');
