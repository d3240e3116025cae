/** Asks gateways to validate a push without applying it. The gateways that answer are the members of a fleet. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Reported } from '../../remote/contract.ts';
import type { HistoryEntry } from './history-file.ts';
import { desiredTopic, type Target } from './operator.ts';
import { dryOutcomeOf, type NodeState } from './outcome.ts';
import type { Delivery, Rolling, SignedPush } from './push-run.ts';

const LOOK_MS = 50;
/** The answers of a fleet are complete when none has arrived for this long, ms. */
const QUIET_MS = 2000;

/**
 * @param members gateways that are expected to answer
 * @returns the state of each gateway that answered or was expected to answer
 */
export async function dryRunOf(
  { base, target, jws, claims }: SignedPush,
  { nodes, waitMs }: Pick<Delivery, 'nodes' | 'waitMs'>,
  { io, link, reports }: Rolling,
  members: readonly string[],
): Promise<NodeState[]> {
  const answers = new Map<string, NodeState>();
  let lastMs = io.now();
  const startMs = lastMs;
  reports.heard = (node, reported) => {
    const said = dryOutcomeOf(reported, claims.token ?? '');
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
  while (!complete() && io.now() - startMs < waitMs && !io.stopped()) {
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
