/**
 * The message for the entities of a stream: a small summary of the forecast, so that Home Assistant neither receives nor parses
 * hundreds of values at each step. Its numbers are rounded to the displayed decimals, so that a smaller change adds no row to the recorder.
 */
import { formatDuration } from '../../config/units.ts';
import { inDigits } from '../../forecast/digits.ts';
import { allFinite, type Forecast } from '../../forecast/forecast.ts';
import { MEDIAN, Q, QUANTILES } from '../../quantiles.ts';
import { QUANTILE_NAMES } from '../json/messages.ts';

export interface SummaryOptions {
  /** Leads, ms; the next step is always included. */
  readonly leads: readonly number[];
  /** Published quantiles: the lowest and the highest are the range. */
  readonly quantiles: readonly number[];
  /** Null: four significant digits. */
  readonly decimals: number | null;
  /** Whether values are increases, so that their sum over the horizon is one, too. */
  readonly additive: boolean;
  /** Whether an anomaly was found since the previous summary. */
  readonly anomaly: boolean;
}

/** Significant digits if the decimals are unknown. */
const DIGITS = 4;

/** Null if a value is not finite. */
export function summaryMessage(forecast: Forecast, options: SummaryOptions): Record<string, unknown> | null {
  const { quantiles, leads, stepMs, originMs, input, crossings } = forecast;
  if (!allFinite(quantiles)) return null;
  const { decimals } = options;
  const rounded = (value: number): number =>
    decimals === null ? inDigits(value, DIGITS) : Number(value.toFixed(decimals)) + 0;
  const [low, high] = rangeOf(options.quantiles);
  const median: Record<string, number | null> = {};
  const range: Record<string, Record<string, number>> = {};
  const add = (key: string, lead: number): void => {
    const at = (lead - 1) * Q;
    median[key] = lead > leads ? null : rounded(quantiles[at + MEDIAN] ?? 0);
    range[key] =
      lead > leads
        ? {}
        : {
            [nameAt(low)]: rounded(quantiles[at + low] ?? 0),
            [nameAt(high)]: rounded(quantiles[at + high] ?? 0),
          };
  };
  add(NEXT, 1);
  for (const leadMs of options.leads) add(formatDuration(leadMs), Math.max(1, Math.round(leadMs / stepMs)));
  let total = 0;
  for (let lead = 0; lead < leads; lead++) total += quantiles[lead * Q + MEDIAN] ?? 0;
  return {
    state: input.quality === 'stale' ? 'offline' : 'online',
    origin: new Date(originMs).toISOString(),
    median,
    range,
    ...(options.additive ? { total: rounded(total) } : {}),
    ...(crossings.length === 0
      ? {}
      : {
          crossing: Object.fromEntries(
            crossings.map(({ name, atMs, probability }) => [
              crossingKey(name),
              {
                at: atMs === null ? null : new Date(atMs).toISOString(),
                percent: Math.round(100 * probability),
              },
            ]),
          ),
        }),
    anomaly: options.anomaly ? 'ON' : 'OFF',
  };
}

/** Key of the next step among the leads. */
export const NEXT = 'next';

/** A threshold's name as a key that needs no quoting in a template. Different names give different keys. */
export const crossingKey = (threshold: string): string =>
  /^[A-Za-z][\w]*$/.test(threshold) ? threshold : `t_${Buffer.from(threshold).toString('hex')}`;

/** Indices into `QUANTILES`. */
function rangeOf(quantiles: readonly number[]): readonly [number, number] {
  const indices = quantiles.map((level) => (QUANTILES as readonly number[]).indexOf(level));
  return [Math.min(...indices), Math.max(...indices)];
}

const nameAt = (index: number): string => QUANTILE_NAMES[index] ?? '';
