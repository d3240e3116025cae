/** The gateways' reports: those that the broker retains, and new ones as they arrive. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Incoming } from '../../mqtt/connection.ts';
import { topicsOf } from '../../mqtt/topics.ts';
import type { Reported } from '../../remote/contract.ts';
import type { BrokerLink } from '../shared/broker.ts';
import { parseReported } from './outcome.ts';

/** The newest report of each node. */
export class GatewayReports {
  readonly latest = new Map<string, Reported>();
  heard: (node: string, reported: Reported) => void = () => {};
  other: (message: Pick<Incoming, 'topic' | 'payload'>) => void = () => {};

  constructor(private readonly base: string) {}

  receive({ topic, payload }: Pick<Incoming, 'topic' | 'payload'>): void {
    const rest = topic.startsWith(`${this.base}/`) ? topic.slice(this.base.length + 1).split('/') : [];
    const [node = '', ...tail] = rest;
    if (tail.join('/') !== 'config/reported') {
      this.other({ topic, payload });
      return;
    }
    const reported = parseReported(payload);
    if (reported === null) return;
    if (reported.dry_run !== true) this.latest.set(node, reported);
    this.heard(node, reported);
  }
}

/** Reads the reports that the broker retains. */
export async function readReports<L extends BrokerLink>(
  base: string,
  node: string | null,
  connect: (message: (message: Incoming) => void) => Promise<L>,
): Promise<{ link: L; reports: GatewayReports }> {
  const reports = new GatewayReports(base);
  const link = await connect((message) => reports.receive(message));
  await link.subscribe([node === null ? `${base}/+/config/reported` : topicsOf(base, node).configReported]);
  await link.settled();
  await pause(200);
  return { link, reports };
}
