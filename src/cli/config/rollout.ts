/**
 * Decides when each gateway gets a push: canaries first, then the others at a rate, until all have it or too many have failed.
 * Pure: time and reports are passed in; the caller sends.
 */
import { z } from 'zod';
import { isFailure, isFinal, type NodeState } from './outcome.ts';

export const planSchema = z.object({
  /** All nodes, the canaries first. */
  nodes: z.array(z.string()),
  canaries: z.number(),
  /** Null: all others at once. */
  rate: z.object({ count: z.number(), periodMs: z.number() }).nullable(),
  /** The number of failures, or their share of all nodes, that ends a rollout. */
  abortAfter: z.union([
    z.object({ kind: z.literal('count'), failures: z.number() }),
    z.object({ kind: z.literal('share'), share: z.number() }),
  ]),
  /** A node that has not reported on the push after this long counts as failed, ms. */
  answerMs: z.number(),
  /** A node that has not finished after this long counts as failed, ms. */
  finishMs: z.number(),
});
type RolloutPlan = z.infer<typeof planSchema>;
export type AbortLimit = RolloutPlan['abortAfter'];
export type Rate = NonNullable<RolloutPlan['rate']>;

type Stage = 'canaries' | 'others' | 'done' | 'aborted';

interface Progress {
  state: NodeState;
  /** Null: not sent. */
  sentMs: number | null;
}

export class Rollout {
  private readonly nodes: Map<string, Progress>;
  private lastSentMs = Number.NEGATIVE_INFINITY;

  /** @param before states of a rollout that is resumed */
  constructor(
    private readonly plan: RolloutPlan,
    before: readonly NodeState[] = [],
    nowMs = 0,
  ) {
    const known = new Map(before.map((state) => [state.node, state]));
    this.nodes = new Map(
      plan.nodes.map((node) => {
        const state = known.get(node);
        // A node that did not answer in time gets the push again.
        if (state === undefined || state.status === 'no answer') return [node, fresh(node)];
        return [node, { state, sentMs: state.status === 'waiting' ? null : nowMs }];
      }),
    );
  }

  get states(): NodeState[] {
    return [...this.nodes.values()].map(({ state }) => state);
  }

  get stage(): Stage {
    const states = this.states;
    if (states.filter(({ status }) => isFailure(status)).length >= this.mostFailures()) return 'aborted';
    if (states.every(({ status }) => isFinal(status))) return 'done';
    return states.slice(0, this.plan.canaries).every(({ status }) => isFinal(status)) ? 'others' : 'canaries';
  }

  /** Number of failures that ends the rollout. */
  private mostFailures(): number {
    const { abortAfter, nodes } = this.plan;
    return abortAfter.kind === 'count'
      ? abortAfter.failures
      : Math.max(1, Math.ceil(abortAfter.share * nodes.length));
  }

  /** A node's report. Returns whether anything changed. */
  report(node: string, said: Omit<NodeState, 'node'>): boolean {
    const progress = this.nodes.get(node);
    if (progress === undefined) return false;
    const { state } = progress;
    if (state.status === said.status && state.code === said.code && state.reason === said.reason)
      return false;
    progress.state = { node, ...said };
    return true;
  }

  /** The node is still receiving the model of the push: restarts its timeout. */
  alive(node: string, nowMs: number): void {
    const progress = this.nodes.get(node);
    if (progress !== undefined && progress.sentMs !== null) progress.sentMs = nowMs;
  }

  /** The nodes that get the push now. They count as sent. */
  due(nowMs: number): string[] {
    this.giveUp(nowMs);
    const { stage, plan } = this;
    if (stage === 'done' || stage === 'aborted') return [];
    const unsent = plan.nodes.filter((node) => this.nodes.get(node)?.state.status === 'waiting');
    let chosen: string[];
    if (stage === 'canaries') {
      const canaries = new Set(plan.nodes.slice(0, plan.canaries));
      chosen = unsent.filter((node) => canaries.has(node));
    } else if (plan.rate === null) chosen = unsent;
    else {
      const everyMs = plan.rate.periodMs / plan.rate.count;
      const allowed = Math.floor((nowMs - this.lastSentMs) / everyMs);
      chosen = unsent.slice(0, Math.min(1, allowed));
      if (chosen.length > 0) this.lastSentMs = nowMs;
    }
    for (const node of chosen)
      this.nodes.set(node, { state: { ...fresh(node).state, status: 'sent' }, sentMs: nowMs });
    return chosen;
  }

  private giveUp(nowMs: number): void {
    const { answerMs, finishMs } = this.plan;
    for (const [node, { state, sentMs }] of this.nodes) {
      if (sentMs === null || isFinal(state.status)) continue;
      const limitMs = state.status === 'sent' ? answerMs : finishMs;
      if (nowMs - sentMs < limitMs) continue;
      const reason =
        state.status === 'sent'
          ? 'has not answered in time; it receives the push when it reconnects'
          : `still ${state.status} at the end of the time limit`;
      this.nodes.set(node, { state: { ...state, status: 'no answer', reason }, sentMs });
    }
  }
}

const fresh = (node: string): Progress => ({
  state: { node, status: 'waiting', version: null, code: null, reason: '' },
  sentMs: null,
});

/** How many canaries: a share of the nodes, at least one; null: none. */
export const canaryCount = (share: number | null, nodes: number): number =>
  share === null ? 0 : Math.min(nodes, Math.max(1, Math.round(share * nodes)));
