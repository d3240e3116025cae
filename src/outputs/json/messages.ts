/**
 * All messages except forecasts (`forecast-text.ts`), as plain objects for JSON, with the field names of the MQTT reference.
 * Times in messages are ISO 8601 UTC. Numbers have six significant digits, more only if the values of a forecast are close together far from zero:
 * more digits would only be noise, and each byte costs traffic on every gateway.
 */
import type { Anomaly } from '../../forecast/anomalies.ts';
import { digitsFor, inDigits } from '../../forecast/digits.ts';
import type { Forecast } from '../../forecast/forecast.ts';
import type { LeadScore } from '../../forecast/track.ts';
import { MEDIAN, Q, QUANTILES } from '../../quantiles.ts';
import type { Alert, GroupInput, HealthInput, StatusInput } from '../output.ts';

/** Minimum number of significant digits. */
const DIGITS = 6;

/** Names of the nine quantiles on the wire, in the order of `QUANTILES`. */
export const QUANTILE_NAMES = QUANTILES.map((q) => `p${Math.round(q * 100)}`);

/** Significant digits for the values of a forecast, in all messages about it. */
export const digitsOf = (forecast: Forecast): number => digitsFor(forecast.quantiles, DIGITS);

/** The median at the lead nearest to `aheadMs`; null beyond the horizon or if it is not finite. */
export function medianAt(forecast: Forecast, aheadMs: number, digits: number): number | null {
  const lead = Math.max(1, Math.round(aheadMs / forecast.stepMs));
  const value = forecast.quantiles[(lead - 1) * Q + MEDIAN];
  if (lead > forecast.leads || value === undefined || !Number.isFinite(value)) return null;
  return inDigits(value, digits);
}

export function statusMessage(status: StatusInput): Record<string, unknown> {
  const { state, version, sinceMs, session } = status;
  return { state, version, since: iso(sinceMs), session };
}

export function healthMessage(health: HealthInput): Record<string, unknown> {
  return {
    state: health.state,
    degraded: health.degraded,
    rss_mb: round(health.rssMb, 1),
    cpu_pct: round(health.cpuPct, 1),
    db_bytes: health.dbBytes,
    written_bytes_day: health.writtenBytesDay,
    streams: health.streams,
    model: { id: health.model.id, version: health.model.version },
    finetune: { status: health.finetune.status, reason: health.finetune.reason },
    config_version: health.configVersion,
    dropped: health.dropped,
  };
}

/**
 * Accuracy of the published forecasts, by lead. `mase` is the mean absolute error relative to the seasonal naive's at the
 * same lead; the skills are 1 - loss / loss of the reference, in pinball loss.
 * @param window number of forecasts included in the figures
 */
export function scoreMessage(scores: readonly LeadScore[], window: number): Record<string, unknown> {
  return {
    by_lead: scores.map((s) => ({
      h: s.lead,
      n: s.n,
      mae: short(s.mae),
      mase: ratio(s.mae, s.maeSeasonal),
      bias: short(s.bias),
      coverage: short(s.coverage),
      skill_vs_naive: skill(s.loss, s.lossNaive),
      skill_vs_seasonal: skill(s.loss, s.lossSeasonal),
    })),
    window,
  };
}

/** Losses are in units of each stream's naive loss: `naive` is about 1, less is better. */
export function groupMessage(group: GroupInput): Record<string, unknown> {
  const { holdout, lastRun, probationSinceMs } = group;
  const { found } = lastRun;
  const loss = (value: number) => (Number.isFinite(value) ? short(value) : null);
  return {
    champion: group.champion,
    version: group.version,
    trained_at: group.trainedAt,
    previous: group.previous,
    probation: probationSinceMs === null ? null : { since: iso(probationSinceMs) },
    holdout: holdout && {
      champion: loss(holdout.champion),
      candidate: loss(holdout.candidate),
      naive: loss(holdout.naive),
      seasonal_naive: loss(holdout.seasonal),
    },
    last_run: {
      status: lastRun.status,
      reason: lastRun.reason,
      trigger: lastRun.trigger,
      started: isoOrNull(lastRun.startedMs),
      ended: isoOrNull(lastRun.endedMs),
      ...(found && { streams: found.streams, left_out: found.leftOut, problems: found.problems }),
    },
    waits_for: group.waitsFor,
  };
}

/** `score` is -log10 of the probability: 4 is once in ten thousand buckets. */
export function anomalyMessage(anomaly: Anomaly): Record<string, unknown> {
  const { timeMs, observed, p50, low, high, score } = anomaly;
  const digits = digitsFor([observed, p50, low, high], DIGITS);
  return {
    time: iso(timeMs),
    observed: inDigits(observed, digits),
    p50: inDigits(p50, digits),
    low: inDigits(low, digits),
    high: inDigits(high, digits),
    score: round(score, 2),
  };
}

export function alertMessage(alert: Alert): Record<string, unknown> {
  return { severity: alert.severity, text: alert.text, since: iso(alert.sinceMs) };
}

/** The response to a request. @param error starts with a code of `errors.ts`; null: success */
export function responseMessage(
  data: object | null,
  error: string | null,
  transaction: string | number | null,
): Record<string, unknown> {
  return { status: error === null ? 'ok' : 'error', data, error, transaction };
}

export function short(value: number): number {
  return inDigits(value, DIGITS);
}

export function round(value: number, digits: number): number {
  return Number(value.toFixed(digits)) + 0;
}

function ratio(value: number, reference: number): number | null {
  return reference > 0 && Number.isFinite(value) ? short(value / reference) : null;
}

/** The first forecast of a meter's total is far wider than its changes; a lower skill would say no more. */
const LOWEST_SKILL = -100;

function skill(loss: number, reference: number): number | null {
  return reference > 0 && Number.isFinite(loss)
    ? Math.max(LOWEST_SKILL, round(1 - loss / reference, 6))
    : null;
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}

export function isoOrNull(ms: number | null): string | null {
  return ms === null ? null : iso(ms);
}
