/**
 * The message that bridges write into the log of a partition: readings, settings of streams that the log has not seen lately,
 * and up to which time the bridge has everything. JSON, so that NATS's own tools can show it.
 */
import { GatecastError } from '../errors.ts';
import type { Sample } from '../series/sample.ts';
import type { StreamSpec } from '../series/spec.ts';

const VERSION = 1;

/** A model of the site; later ones have higher numbers. 0: the model of the config. */
export interface ModelRef {
  readonly number: number;
  /** Name of its files in the object store. */
  readonly id: string;
}

export const CONFIGURED: ModelRef = { number: 0, id: '' };

export interface Batch {
  /** Id of the bridge. */
  readonly bridge: string;
  /**
   * The bridge has sent every reading that reached it before this, ms; null while it takes a backlog, in which readings may come in any
   * order, or while its clock is not set.
   */
  readonly untilMs: number | null;
  readonly specs: readonly StreamSpec[];
  readonly samples: readonly Sample[];
  /** From here on the partition is forecast by this model. */
  readonly model?: ModelRef;
}

/** Stream, time, value, arrival after the time, and 1 where the time was assigned. */
type Row = readonly [stream: string, timeMs: number, value: number, ageMs: number, assigned?: 1];

interface Wire {
  readonly v: typeof VERSION;
  readonly bridge: string;
  readonly until: number | null;
  readonly specs?: readonly StreamSpec[];
  readonly readings?: readonly Row[];
  readonly model?: ModelRef;
}

/** A message of the operator, not of a bridge. */
export const encodeModel = (model: ModelRef): string =>
  encodeBatch({ bridge: '', untilMs: null, specs: [], samples: [], model });

export function encodeBatch({ bridge, untilMs, specs, samples, model }: Batch): string {
  const rows = samples.map(({ stream, timeMs, value, arrivalMs, assigned }): Row => {
    const ageMs = arrivalMs - timeMs;
    return assigned === true ? [stream, timeMs, value, ageMs, 1] : [stream, timeMs, value, ageMs];
  });
  const wire: Wire = {
    v: VERSION,
    bridge,
    until: untilMs,
    ...(specs.length > 0 && { specs }),
    ...(rows.length > 0 && { readings: rows }),
    ...(model !== undefined && { model }),
  };
  return JSON.stringify(wire);
}

/** @throws GatecastError SITE_FAILED for text that is not a batch */
export function decodeBatch(bytes: Uint8Array): Batch {
  let wire: unknown;
  try {
    wire = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw invalid('is not JSON');
  }
  if (!isWire(wire)) throw invalid(`is not a batch of version ${VERSION}`);
  return {
    bridge: wire.bridge,
    untilMs: wire.until,
    specs: wire.specs ?? [],
    samples: (wire.readings ?? []).map(
      ([stream, timeMs, value, ageMs, assigned]): Sample => ({
        stream,
        timeMs,
        value,
        arrivalMs: timeMs + ageMs,
        ...(assigned === 1 && { assigned: true }),
      }),
    ),
    ...(wire.model !== undefined && { model: wire.model }),
  };
}

const invalid = (what: string): GatecastError =>
  new GatecastError('SITE_FAILED', `A message in the log of a partition ${what}.`, {
    hint: 'Let only bridges publish there, and upgrade the workers before the bridges.',
  });

function isWire(wire: unknown): wire is Wire {
  if (typeof wire !== 'object' || wire === null) return false;
  const { v, bridge, until, specs, readings, model } = wire as Record<string, unknown>;
  return (
    v === VERSION &&
    typeof bridge === 'string' &&
    (until === null || Number.isFinite(until)) &&
    (specs === undefined || (Array.isArray(specs) && specs.every(isSpec))) &&
    (readings === undefined || (Array.isArray(readings) && readings.every(isRow))) &&
    (model === undefined || isModelRef(model))
  );
}

const isRow = (row: unknown): row is Row =>
  Array.isArray(row) && typeof row[0] === 'string' && row.slice(1).every(Number.isFinite) && row.length >= 4;

export function isModelRef(value: unknown): value is ModelRef {
  if (typeof value !== 'object' || value === null) return false;
  const { number, id } = value as Record<string, unknown>;
  return Number.isSafeInteger(number) && Number(number) >= 0 && typeof id === 'string';
}

/** Validates only what the engine relies on, because only bridges may write to the log. */
function isSpec(spec: unknown): spec is StreamSpec {
  if (typeof spec !== 'object' || spec === null) return false;
  const { name, intervalMs, horizonMs, latenessMs, maxGapMs, thresholds, timeZone } = spec as Record<
    string,
    unknown
  >;
  return (
    typeof name === 'string' &&
    (intervalMs === null || (Number.isFinite(intervalMs) && (intervalMs as number) > 0)) &&
    Number.isFinite(horizonMs) &&
    Number.isFinite(latenessMs) &&
    Number.isFinite(maxGapMs) &&
    Array.isArray(thresholds) &&
    typeof timeZone === 'string'
  );
}
