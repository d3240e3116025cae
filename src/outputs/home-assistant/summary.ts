/**
 * The message for the entities of a stream: a small summary of the forecast, so that Home Assistant neither receives nor parses
 * hundreds of values at each step. Its numbers are rounded to the displayed decimals, so that a smaller change adds no row to the recorder.
 */
import { formatDuration } from '../../config/units.ts';
import { digitsFor, inDigits } from '../../forecast/digits.ts';
import { allFinite, type Forecast } from '../../forecast/forecast.ts';
import { MEDIAN, Q, QUANTILES } from '../../quantiles.ts';
import { QUANTILE_NAMES } from '../json/messages.ts';

export interface SummaryOptions {
  /** Leads, ms; the next step is always included. */
  readonly leads: readonly number[];
  /** Published quantiles: the lowest and the highest are the range. */
  readonly quantiles: readonly number[];
  /** Null: four significant digits, more if the values are close together far from zero. */
  readonly decimals: number | null;
  /** Whether values are increases, so that their sum over the horizon is one, too. */
  readonly additive: boolean;
  /** Whether an anomaly was found since the previous summary. */
  readonly anomaly: boolean;
}

/** Significant digits if the decimals are unknown. */
const DIGITS = 4;
/** With two digits of the spread, a meter's total of 45678.9 that grows by 0.05 does not look constant. */
const SPREAD_DIGITS = 1;

/** Texts that all summaries with these leads share: `"1h":`, by lead. */
const leadKeys = new WeakMap<readonly number[], ReadonlyMap<number, string>>();

function keysOf(leads: readonly number[]): ReadonlyMap<number, string> {
  let keys = leadKeys.get(leads);
  if (keys === undefined) {
    keys = new Map(leads.map((leadMs) => [leadMs, `${JSON.stringify(formatDuration(leadMs))}:`]));
    leadKeys.set(leads, keys);
  }
  return keys;
}

const numberText = (value: number): string => (Number.isFinite(value) ? `${value}` : 'null');

/** JSON of the summary, written as text because there is one for each forecast. Null if a value is not finite. */
export function summaryText(forecast: Forecast, options: SummaryOptions): string | null {
  const { quantiles, leads, stepMs, originMs, input, crossings } = forecast;
  if (!allFinite(quantiles)) return null;
  const { decimals } = options;
  const digits = decimals === null ? digitsFor(quantiles, DIGITS, SPREAD_DIGITS) : 0;
  const rounded = (value: number): string =>
    numberText(decimals === null ? inDigits(value, digits) : Number(value.toFixed(decimals)) + 0);
  const [low, high] = rangeOf(options.quantiles);
  const rangeAt = (at: number): string => {
    const lower = `{"${nameAt(low)}":${rounded(quantiles[at + low] ?? 0)}`;
    return low === high ? `${lower}}` : `${lower},"${nameAt(high)}":${rounded(quantiles[at + high] ?? 0)}}`;
  };
  let median = `"${NEXT}":${rounded(quantiles[MEDIAN] ?? 0)}`;
  let range = `"${NEXT}":${rangeAt(0)}`;
  for (const [leadMs, key] of keysOf(options.leads)) {
    const lead = Math.max(1, Math.round(leadMs / stepMs));
    const at = (lead - 1) * Q;
    median += `,${key}${lead > leads ? 'null' : rounded(quantiles[at + MEDIAN] ?? 0)}`;
    range += `,${key}${lead > leads ? '{}' : rangeAt(at)}`;
  }
  let text = `{"state":"${input.quality === 'stale' ? 'offline' : 'online'}","origin":"${new Date(originMs).toISOString()}"`;
  text += `,"median":{${median}},"range":{${range}}`;
  if (options.additive) {
    let total = 0;
    for (let lead = 0; lead < leads; lead++) total += quantiles[lead * Q + MEDIAN] ?? 0;
    text += `,"total":${rounded(total)}`;
  }
  if (crossings.length > 0) text += `,"crossing":${JSON.stringify(crossingsOf(forecast))}`;
  return `${text},"anomaly":"${options.anomaly ? 'ON' : 'OFF'}"}`;
}

const crossingsOf = ({ crossings }: Forecast): Record<string, unknown> =>
  Object.fromEntries(
    crossings.map(({ name, atMs, probability }) => [
      crossingKey(name),
      { at: atMs === null ? null : new Date(atMs).toISOString(), percent: Math.round(100 * probability) },
    ]),
  );

/** Key of the next step among the leads. */
export const NEXT = 'next';

/** A threshold's name as a key that needs no quoting in a template. Different names give different keys. */
export const crossingKey = (threshold: string): string =>
  /^[A-Za-z][\w]*$/.test(threshold) ? threshold : `t_${Buffer.from(threshold).toString('hex')}`;

/** Of the lists that `rangeOf` has seen. */
const ranges = new WeakMap<readonly number[], readonly [number, number]>();

/** Indices into `QUANTILES` of the lowest and the highest one. */
function rangeOf(quantiles: readonly number[]): readonly [number, number] {
  const known = ranges.get(quantiles);
  if (known !== undefined) return known;
  let low = Q - 1;
  let high = 0;
  for (let q = 0; q < Q; q++) {
    if (!quantiles.includes(QUANTILES[q] ?? Number.NaN)) continue;
    low = Math.min(low, q);
    high = q;
  }
  ranges.set(quantiles, [low, high]);
  return [low, high];
}

const nameAt = (index: number): string => QUANTILE_NAMES[index] ?? '';
