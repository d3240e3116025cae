/** What of the streams, the slots and the counts an owner should know; what ails the agent itself is `health.ts`'s. */
import type { StreamView } from '../forecast/engine-contract.ts';
import type { Router } from '../ingest/router.ts';
import type { GroupSlots } from '../model/slots.ts';
import { longestGapMs } from '../series/spec.ts';
import type { Condition } from './alerts.ts';

/** Why an owner's own rollback happened, in the slots. */
export const REQUESTED = 'requested';

const NAMES = 5;

/** Streams silent for longer than their longest gap, as the forecasts themselves say. */
export function staleStreams(views: readonly StreamView[], nowMs: number): Condition[] {
  const stale = views.filter(
    ({ spec, lastObservedMs, intervalMs }) =>
      lastObservedMs !== null &&
      nowMs - lastObservedMs > Math.max(longestGapMs(spec, intervalMs ?? 0), 2 * (intervalMs ?? 0)),
  );
  if (stale.length === 0) return [];
  const names = stale.slice(0, NAMES).map(({ spec }) => spec.name);
  const more = stale.length > NAMES ? ` and ${stale.length - NAMES} more` : '';
  const text = `${stale.length} of ${views.length} streams are silent: ${names.join(', ')}${more}`;
  return [{ id: 'stale', severity: 'warning', text }];
}

/** A model that had to give way, until another is promoted or configured. */
export function rolledBack({ current, previous, probation, reason }: GroupSlots): Condition[] {
  if (previous !== null || probation !== null || reason === 'configured' || reason === REQUESTED) return [];
  return [{ id: 'model-rollback', severity: 'warning', text: `back on '${current}': ${reason}` }];
}

/** Streams were refused because there are as many as may be. */
export function streamLimit(router: Pick<Router, 'stats' | 'dropped'>, most: number): Condition[] {
  const refused = router.dropped()['stream-limit'] ?? 0;
  if (router.stats().streams < most || refused === 0) return [];
  return [{ id: 'stream-limit', severity: 'warning', text: `max_streams = ${most} is reached` }];
}
