/**
 * Counts what is logged at level error. Errors that no other alert covers raise the alert `internal`, so that none is only in the log:
 * also one whose event is not in the table.
 */
import { withoutSecrets } from '../errors.ts';
import type { LogFields, Logger } from '../log.ts';
import type { StoreFault } from '../store/sqlite-store.ts';
import type { AlertId } from './alerts.ts';

/** Longest text of the alert. */
const MOST_TEXT = 300;

/** The alert that covers each event; null: the error is returned in the answer to the request. */
export const ERROR_EVENTS: Readonly<Record<string, AlertId | null>> = {
  'a regular task failed': 'internal',
  'part failed': 'internal',
  'config not applied': 'internal',
  'config change not settled': 'internal',
  'config change not discarded': 'internal',
  'config refused': null,
  'remote config failed': 'internal',
  'push rolled back': null,
  'push cannot be applied now': null,
  'state not restored': 'internal',
  'streams begin without their stored readings': 'dropped',
  'state not kept': 'internal',
  'model slots not written': 'internal',
  'model slots damaged': 'internal',
  'model cannot be read': 'internal',
  'model not switched': 'internal',
  'model rolled back': 'model-rollback',
  'no model, naive forecasts only': 'model',
  'fine-tuning': 'finetune',
  'forecasting failed': 'forecasting',
  'covariate files could not be read': 'internal',
  'output failed': 'dropped',
  'stop failed': 'internal',
  'message set aside': 'dropped',
  'subscription refused by the broker': 'subscription',
  'publish refused by the broker': 'publish',
  'site not available': 'site',
  'partition given up': 'site-partitions',
  'readings not stored in the log': 'site-partitions',
  'the log of the partition has lost messages that were read': 'internal',
  'states rebuilt from the log': 'internal',
  'message of the log not taken': 'dropped',
  'messages of the log are lost': 'dropped',
  'checkpoint not saved': 'internal',
  'fine-tuning of the site': 'internal',
  'the model of the site is replaced by the former one': 'internal',
  ...({
    'store unavailable': 'store',
    'store disk-full': 'disk-full',
    'store dropping': 'dropped',
    'store row-refused': 'dropped',
    'store journal-damaged': 'dropped',
    'store snapshot-damaged': 'internal',
    'store quarantined': 'internal',
  } satisfies Record<`store ${Exclude<StoreFault['kind'], 'recovered' | 'disk-free'>}`, AlertId>),
};

export class LoggedErrors {
  private readonly counts = new Map(Object.keys(ERROR_EVENTS).map((event) => [event, 0]));
  /** Number of errors that only the alert `internal` covers, and the text of the last one. */
  internal: { readonly count: number; readonly last: string } = { count: 0, last: '' };

  /** By event; events that have not occurred are zero. */
  byEvent(): ReadonlyMap<string, number> {
    return this.counts;
  }

  /** A logger whose errors are counted. */
  counted(log: Logger, bound: LogFields = {}): Logger {
    return {
      error: (event, fields) => {
        this.count(event, { ...bound, ...fields });
        log.error(event, fields);
      },
      warn: (event, fields) => log.warn(event, fields),
      info: (event, fields) => log.info(event, fields),
      debug: (event, fields) => log.debug(event, fields),
      with: (fields) => this.counted(log.with(fields), { ...bound, ...fields }),
    };
  }

  private count(event: string, fields: LogFields): void {
    this.counts.set(event, (this.counts.get(event) ?? 0) + 1);
    if (Object.hasOwn(ERROR_EVENTS, event) && ERROR_EVENTS[event] !== 'internal') return;
    const { part, reason } = fields;
    const last = `${event}${part === undefined ? '' : ` (${part})`}${reason === undefined ? '' : `: ${reason}`}`;
    this.internal = { count: this.internal.count + 1, last: withoutSecrets(last).slice(0, MOST_TEXT) };
  }
}
