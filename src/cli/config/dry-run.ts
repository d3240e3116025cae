/** Asks gateways to validate a push without applying it. The gateways that answer are the members of a fleet. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Claims, Reported } from '../../remote/contract.ts';
import type { BrokerLink } from '../shared/broker.ts';
import type { HistoryEntry } from './history-file.ts';
import { desiredTopic, type Target } from './operator.ts';
import { dryOutcomeOf, type NodeState } from './outcome.ts';
import type { PushIo, PushRequest } from './push-run.ts';
import type { GatewayReports } from './reports.ts';

const LOOK_MS = 50;
/** The answers of a fleet are complete when none has arrived for this long, ms. */
const QUIET_MS = 2000;

interface DryRun {
  readonly request: Pick<PushRequest, 'base' | 'target' | 'nodes' | 'waitMs'>;
  readonly io: PushIo;
  readonly link: BrokerLink;
  readonly reports: GatewayReports;
  /** Gateways that are expected to answer. */
  readonly members: readonly string[];
}

/** @returns the state of each gateway that answered or was expected to answer */
export async function dryRunOf(jws: string, { token = '' }: Claims, parts: DryRun): Promise<NodeState[]> {
  const { request, io, link, reports, members } = parts;
  const { base, target, nodes } = request;
  const answers = new Map<string, NodeState>();
  let lastMs = io.now();
  const startMs = lastMs;
  reports.heard = (node, reported) => {
    const said = dryOutcomeOf(reported, token);
    if (said === null || (nodes !== null && !nodes.includes(node))) return;
    lastMs = io.now();
    answers.set(node, { node, ...said });
    io.show([...answers.values()], 'dry run');
  };
  await link.publish({ topic: desiredTopic(base, target), payload: jws, qos: 1, retain: false });
  const expected = target.kind === 'node' ? [target.name] : members;
  const complete = (): boolean => {
    const all = expected.every((node) => answers.has(node));
    if (target.kind === 'node' || nodes !== null) return all;
    return all && answers.size > 0 && io.now() - lastMs >= QUIET_MS;
  };
  while (!complete() && io.now() - startMs < request.waitMs && !io.stopped()) {
    await link.settled();
    await pause(LOOK_MS);
  }
  reports.heard = () => {};
  const missing = expected.filter((node) => !answers.has(node));
  const reason = 'has not answered the dry run; it receives a retained push when it reconnects';
  return [
    ...[...answers.values()].sort((a, b) => (a.node < b.node ? -1 : 1)),
    ...missing.map((node): NodeState => ({ node, status: 'no answer', version: null, code: null, reason })),
  ];
}

/** Known members of a fleet: from the reports of gateways and the history of this machine. */
export function knownMembers(
  { name }: Target,
  latest: ReadonlyMap<string, Reported>,
  history: readonly HistoryEntry[],
): string[] {
  const layer = `fleet:${name}`;
  const reporting = [...latest].filter(
    ([, reported]) => reported.layer === layer || reported.history.some((one) => one.layer === layer),
  );
  const newest = history.filter(({ outcome }) => outcome !== null).at(-1)?.outcome?.nodes ?? {};
  return [...new Set([...reporting.map(([node]) => node), ...Object.keys(newest)])].sort();
}
