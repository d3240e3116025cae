/**
 * A Sparkplug host that trusts nobody: it keeps the state that the specification gives a host (Eclipse Sparkplug 3.0, chapters 4 to 6),
 * and lists every rule that a message breaks, by the id of the rule in the specification where it has one.
 */

import type { DecodedPayload } from '../../support/sparkplug-reader.ts';

export interface Received {
  readonly topic: string;
  readonly payload: DecodedPayload;
  readonly qos: number;
  readonly retain: boolean;
}

interface Known {
  readonly name: string;
  readonly type: string;
}

export class SparkplugHost {
  /** Ids of broken rules, with what broke them. */
  readonly violations: string[] = [];
  /** By device ('' is the node) and metric, the newest value that is not historical. */
  readonly values = new Map<string, Map<string, unknown>>();
  online = false;
  private bdSeq: number | null = null;
  private seq = 0;
  private readonly aliases = new Map<string, Map<number, Known>>();

  constructor(
    private readonly group: string,
    private readonly node: string,
  ) {}

  /** @param will bdSeq of the last will of the connection, where the test knows it */
  receive({ topic, payload, qos, retain }: Received, will: number | null = null): void {
    const wrong = (id: string, text = ''): void => void this.violations.push(`${id}: ${topic} ${text}`);
    const [namespace, group, kind = '', node, device = '', ...rest] = topic.split('/');
    if (namespace !== 'spBv1.0') wrong('tck-id-topic-structure-namespace-a');
    if (group !== this.group || node !== this.node || rest.length > 0)
      wrong(`tck-id-topics-${kind.toLowerCase()}-topic`);
    if (/[+#/]/.test(device)) wrong('tck-id-topic-structure-namespace-device-id-chars');
    if (retain) wrong(`tck-id-topics-${kind.toLowerCase()}-mqtt`, 'retained');
    const bdSeq = payload.metrics.find(({ name }) => name === 'bdSeq');
    if (kind === 'NDEATH') {
      if (payload.seq != null) wrong('tck-id-topics-ndeath-seq');
      if (qos !== 1) wrong('tck-id-payloads-ndeath-will-message-qos', String(qos));
      if (bdSeq?.type !== 'Int64' || payload.metrics.length !== 1) wrong('tck-id-topics-ndeath-payload');
      if (bdSeq?.value === this.bdSeq) {
        this.online = false;
        this.aliases.clear();
      }
      return;
    }
    if (qos !== 0) wrong(`tck-id-topics-${kind.toLowerCase()}-mqtt`, `QoS ${qos}`);
    if (payload.timestamp == null) wrong(`tck-id-topics-${kind.toLowerCase()}-timestamp`);
    if (payload.seq == null || payload.seq < 0 || payload.seq > 255)
      wrong('tck-id-payloads-sequence-num-always-included');
    if (kind === 'NBIRTH') {
      if (payload.seq !== 0) wrong('tck-id-topics-nbirth-seq-num', String(payload.seq));
      if (bdSeq === undefined) wrong('tck-id-topics-nbirth-bdseq-included');
      if (bdSeq?.type !== 'Int64') wrong('tck-id-payloads-nbirth-bdseq');
      if (will !== null && bdSeq?.value !== will)
        wrong('tck-id-topics-nbirth-bdseq-matching', `${bdSeq?.value} is not ${will}`);
      const rebirth = payload.metrics.find(({ name }) => name === 'Node Control/Rebirth');
      if (rebirth?.type !== 'Boolean' || rebirth.value !== false)
        wrong('tck-id-topics-nbirth-rebirth-metric');
      if (rebirth?.alias != null) wrong('tck-id-operational-behavior-data-commands-rebirth-name-aliases');
      if (this.online && Number(bdSeq?.value) !== this.bdSeq)
        wrong('tck-id-operational-behavior-data-commands-rebirth-action-3');
      this.bdSeq = Number(bdSeq?.value);
      this.online = true;
      this.aliases.clear();
    } else {
      if (!this.online) wrong('tck-id-payloads-nbirth-edge-node-birth', 'a message before the birth');
      if (payload.seq !== (this.seq + 1) % 256)
        wrong('tck-id-payloads-sequence-num-incrementing', `${payload.seq} after ${this.seq}`);
    }
    this.seq = payload.seq ?? 0;
    if (kind === 'DDEATH') {
      if (payload.metrics.length > 0) wrong('ddeath with metrics');
      if (!this.aliases.delete(device)) wrong('death of a device that was not born');
      return;
    }
    const own = kind.startsWith('N') ? '' : device;
    if (kind.startsWith('D') && device === '') wrong('tck-id-topic-structure-namespace-valid-device-id');
    if (kind.endsWith('BIRTH')) this.birth(own, payload, wrong);
    else if (kind.endsWith('DATA')) this.data(own, payload, wrong);
    else wrong('tck-id-topic-structure-namespace-message-type');
  }

  private birth(
    device: string,
    { metrics }: DecodedPayload,
    wrong: (id: string, text?: string) => void,
  ): void {
    const known = new Map<number, Known>();
    const used = new Set(
      [...this.aliases].flatMap(([other, map]) => (other === device ? [] : [...map.keys()])),
    );
    const values = new Map<string, unknown>();
    const names = new Set<string>();
    for (const { name, alias, type, timestamp, isNull, value, isHistorical } of metrics) {
      if (name == null || name === '') wrong('tck-id-payloads-alias-birth-requirement');
      else if (names.has(name)) wrong('two metrics of one name', name);
      names.add(name ?? '');
      if (type == null) wrong('tck-id-payloads-metric-datatype-req', name ?? '');
      if (timestamp == null) wrong('tck-id-payloads-name-birth-data-requirement', name ?? '');
      if (isHistorical === true) wrong('a birth of the past', name ?? '');
      if (alias == null && name !== 'Node Control/Rebirth')
        wrong('tck-id-payloads-alias-birth-requirement', name ?? '');
      if (alias != null) {
        if (known.has(alias) || used.has(alias)) wrong('tck-id-payloads-alias-uniqueness', `${alias}`);
        known.set(alias, { name: name ?? '', type: type ?? '' });
      }
      values.set(name ?? '', isNull === true ? null : value);
    }
    this.aliases.set(device, known);
    this.values.set(device, values);
  }

  private data(
    device: string,
    { metrics }: DecodedPayload,
    wrong: (id: string, text?: string) => void,
  ): void {
    const known = this.aliases.get(device);
    if (known === undefined) {
      wrong('data before the birth', device);
      return;
    }
    if (metrics.length === 0) wrong('data without metrics');
    for (const { name, alias, type, timestamp, isNull, value, isHistorical } of metrics) {
      if (name != null) wrong('tck-id-payloads-alias-data-cmd-requirement', name);
      const declared = known.get(alias ?? -1);
      if (declared === undefined) wrong('an alias that no birth declared', `${alias}`);
      else if (type != null && type !== declared.type) wrong('another type than in the birth', declared.name);
      if (timestamp == null) wrong('tck-id-payloads-name-birth-data-requirement');
      if (isHistorical !== true)
        this.values.get(device)?.set(declared?.name ?? '', isNull === true ? null : value);
    }
  }
}
