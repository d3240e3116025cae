/**
 * Alerts: retained messages for the owner, published while their cause holds and withdrawn afterwards. All ids are
 * in one table, so that after a restart the agent can withdraw alerts of the former run whose cause is gone.
 */
import type { StreamView } from '../forecast/engine-contract.ts';
import type { Router } from '../ingest/router.ts';
import type { IngestRule } from '../ingest/rule.ts';
import type { GroupSlots } from '../model/slots.ts';
import type { Alert } from '../outputs/output.ts';
import type { Outputs } from '../outputs/outputs.ts';
import { longestGapMs } from '../series/spec.ts';
import type { Clock } from '../system/clock.ts';
import { type MetaStore, StoredValue } from '../system/stored-value.ts';
import type { MetricFamily } from '../web/metrics.ts';
import type { NewConnection, Part } from './part.ts';

/** Ids of `<base>/<node>/alert/<id>`, and when each is raised; the texts are the reference in `docs/mqtt.md`. */
export const ALERTS = {
  clock: 'The clock of the machine was never set: no forecasts are made until it is set.',
  store: 'The database cannot be written: samples are in memory only.',
  'disk-full': 'The disk is full: the oldest stored samples are deleted to make room for new ones.',
  dropped:
    'Readings were dropped, or messages not sent, within the last minutes; `dropped` in the health message counts them by reason. `only-retained` and `other-agent` are expected, and raise no alert.',
  forecasting: 'Forecasting failed.',
  network: 'A run of the network failed within the last minutes; naive forecasts were published instead.',
  model: 'The model cannot be used: only naive forecasts are made.',
  'model-rollback': 'A model failed its probation and was rolled back.',
  finetune: 'The last fine-tuning failed.',
  subscription: 'The broker refuses a subscription.',
  publish: 'The broker refused messages of the agent within the last minutes.',
  oversize: 'A message that was too large was skipped within the last minutes; the text names its topic.',
  'broker-limits':
    'The broker lacks features or limits sizes that the agent uses; the text names them and the workaround.',
  'stream-limit': 'The number of streams has reached `max_streams`, and further streams were refused.',
  'remote-config':
    'Unsigned configs are accepted, or the stored remote config is damaged or does not fit the local file.',
  site: 'NATS cannot be reached, or refuses: readings wait at the MQTT broker, and no forecasts of the site are made here.',
  'site-partitions':
    'Partitions of the site have no owner, are behind their readings, or fail; the text names them.',
  internal:
    'An error that no other alert covers was logged within the last minutes; the text names it. Forecasting continues.',
  'silent-rule':
    'No message for a rule of `streams` has arrived for 15 minutes or three of its intervals (with `auto`: for an hour) since the start, although the broker accepts its subscription.',
  stale: 'Streams have had no reading for longer than `gaps.max`.',
} as const;

export type AlertId = keyof typeof ALERTS;

/** A condition that holds now. */
export interface Condition {
  readonly id: AlertId;
  readonly severity: Alert['severity'];
  readonly text: string;
}

interface ListedAlert extends Alert {
  readonly id: AlertId;
  /** Time at which its cause ended, ms; null while it holds. */
  readonly untilMs: number | null;
}

const MOST_CLEARED = 30;
/** Not saved, because these alerts mean that the store cannot save them. */
const NOT_KEPT: readonly AlertId[] = ['store', 'disk-full'];

interface AlertsParts {
  readonly store: MetaStore;
  readonly clock: Pick<Clock, 'now'>;
  readonly outputs: Pick<Outputs, 'alert'>;
}

export class Alerts implements Part {
  readonly name = 'alerts';
  private readonly raised = new Map<AlertId, Alert>();
  /** Alerts whose cause has ended, oldest first. */
  private readonly cleared: ListedAlert[] = [];
  /** Ids raised by the former run and not yet checked. */
  private former: readonly string[] | null;
  private readonly kept: StoredValue<readonly string[]>;

  constructor(private readonly parts: AlertsParts) {
    // Without a record, all ids are former ones, so nothing is missed if it is read later.
    this.kept = new StoredValue<readonly string[]>(
      parts.store,
      'agent.alerts',
      formerIds,
      (_stored, own) => own,
    );
    this.former = [...new Set([...this.kept.read(), ...NOT_KEPT])];
  }

  /** @param conditions all conditions that hold now; the first one of each id counts */
  check(conditions: readonly Condition[]): void {
    const holding = new Map<AlertId, Condition>();
    for (const one of conditions) if (!holding.has(one.id)) holding.set(one.id, one);
    let changed = this.former !== null;
    for (const id of this.former ?? []) if (!holding.has(id as AlertId)) this.parts.outputs.alert(id, null);
    this.former = null;
    for (const id of [...this.raised.keys()]) {
      if (holding.has(id)) continue;
      this.clear(id);
      this.parts.outputs.alert(id, null);
      changed = true;
    }
    for (const { id, severity, text } of holding.values()) {
      const before = this.raised.get(id);
      if (before?.text === text) continue;
      const alert = { severity, text, sinceMs: before?.sinceMs ?? this.parts.clock.now() };
      this.raised.set(id, alert);
      this.parts.outputs.alert(id, alert);
      changed ||= before === undefined;
    }
    if (changed || this.kept.isUnread) this.kept.save([...this.raised.keys()]);
  }

  private clear(id: AlertId): void {
    const alert = this.raised.get(id);
    this.raised.delete(id);
    if (alert === undefined) return;
    this.cleared.push({ id, ...alert, untilMs: this.parts.clock.now() });
    if (this.cleared.length > MOST_CLEARED) this.cleared.shift();
  }

  /** Alerts that hold, then alerts of this run whose cause has ended; newest first. */
  list(): ListedAlert[] {
    const held = [...this.raised].map(([id, alert]) => ({ id, ...alert, untilMs: null }));
    return [...held.sort((a, b) => b.sinceMs - a.sinceMs), ...[...this.cleared].reverse()];
  }

  metrics(): MetricFamily[] {
    const ids = Object.keys(ALERTS) as AlertId[];
    return [
      {
        name: 'gatecast_alert_active',
        help: '1 while the alert holds.',
        type: 'gauge',
        values: ids.map((id) => ({ labels: { id }, value: this.raised.has(id) ? 1 : 0 })),
      },
    ];
  }

  /** Ids of alerts that fail a config's probation: errors, and refused streams (caused by a filter that is too wide). */
  harmful(): string[] {
    return [...this.raised]
      .filter(([id, { severity }]) => severity === 'error' || id === 'stream-limit')
      .map(([id]) => id);
  }

  /** Publishes all alerts again: the broker may have lost its retained messages. */
  connected({ again }: Pick<NewConnection, 'again'>): void {
    if (!again) return;
    for (const [id, alert] of this.raised) this.parts.outputs.alert(id, alert);
  }
}

/** Ids raised by the former run; all ids without a valid record. */
function formerIds(json: unknown): string[] {
  const all = Object.keys(ALERTS);
  return Array.isArray(json) ? json.filter((id) => all.includes(id)) : all;
}

/** How long a rule may be without any message: with an interval, and without. */
const SILENT_MS = 900_000;
const SILENT_AUTO_MS = 3_600_000;

/**
 * @param unheard the rules that have had no message
 * @param elapsedMs how long the rules have applied
 */
export function silentRules(unheard: readonly IngestRule[], elapsedMs: number): Condition[] {
  const patterns = unheard
    .filter(({ stream: { intervalMs } }) => {
      const patienceMs = intervalMs === null ? SILENT_AUTO_MS : Math.max(SILENT_MS, 3 * intervalMs);
      return elapsedMs >= patienceMs;
    })
    .map(({ pattern }) => pattern.source);
  if (patterns.length === 0) return [];
  const names = patterns.slice(0, NAMES).join(', ');
  const more = patterns.length > NAMES ? ` and ${patterns.length - NAMES} more` : '';
  const text = `no message has arrived for ${names}${more}: check \`match\`, and the right to read at the broker`;
  return [{ id: 'silent-rule', severity: 'warning', text }];
}

/** Reason in the slots for a rollback that the owner requested. */
export const REQUESTED = 'requested';

const NAMES = 5;

/** Streams without a reading for longer than `gaps.max`; the same rule makes their forecasts `stale`. */
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

/** A model was rolled back; holds until another model is promoted or configured. */
export function rolledBack({ current, previous, probation, reason }: GroupSlots): Condition[] {
  if (previous !== null || probation !== null || reason === 'configured' || reason === REQUESTED) return [];
  return [{ id: 'model-rollback', severity: 'warning', text: `back on '${current}': ${reason}` }];
}

/** Streams were refused because `max_streams` is reached. */
export function streamLimit(router: Pick<Router, 'stats' | 'dropped'>, most: number): Condition[] {
  const refused = router.dropped()['stream-limit'] ?? 0;
  if (router.stats().streams < most || refused === 0) return [];
  return [{ id: 'stream-limit', severity: 'warning', text: `max_streams = ${most} is reached` }];
}
