/** Reads the data of `gatecast train`: files named on the command line or described in a file of data sets. */
import { dirname, resolve } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import { grids, readings } from '../../backtest/play.ts';
import { sentinelHints } from '../../backtest/sentinel-hints.ts';
import { parseDuration } from '../../config/units.ts';
import { errorText, GatecastError } from '../../errors.ts';
import { MAX_LEADS } from '../../series/spec.ts';
import { parseTime } from '../../series/time-stamp.ts';
import { readInput } from '../../system/files.ts';
import { readTable } from '../../table/table.ts';
import type { JobSeries } from '../../training/job.ts';
import { Random } from '../../training/random.ts';
import { FILE_SETTINGS } from '../../training/replay.ts';

const msFrom = (parse: (text: string) => number | null, message: string) =>
  z.string().transform((text, context) => {
    const ms = parse(text);
    if (ms === null) context.addIssue({ code: 'custom', message });
    return ms ?? 0;
  });
const duration = msFrom((text) => parseDuration(text) || null, 'a duration like 30s, 5m or 1h is expected');
const instant = msFrom(parseTime, 'a time like 2017-01-01T00:00:00Z is expected');
const names = z
  .union([z.string(), z.array(z.string())])
  .transform((one): readonly string[] => (typeof one === 'string' ? [one] : one));

/** Time of the first row of files without a time column, ms; a Monday. */
const CLOCK_START = Date.UTC(2020, 0, 6);

/** One data set: files of the same format. */
const setSchema = z.strictObject({
  name: z.string().min(1),
  licence: z.string().default('not stated'),
  files: names,
  time: names.optional(),
  time_format: z.string().optional(),
  columns: z.union([z.literal('all'), z.array(z.string()).readonly()]).default('all'),
  id: names.optional(),
  delimiter: z.string().optional(),
  decimal: z.enum(['.', ',']).optional(),
  missing: z
    .array(z.union([z.string(), z.number().transform(String)]))
    .readonly()
    .optional(),
  clock_start: instant.default(CLOCK_START),
  timezone: z.string().default('UTC'),
  /** Interval between rows of files without a time column. */
  rows_every: duration.optional(),
  /** Each series is used at each of these intervals ... */
  intervals: z.union([duration.transform((one) => [one]), z.array(duration)]),
  /** ... with one of these horizons, in buckets, in rotation. */
  horizons: z.array(z.number().int().min(1).max(MAX_LEADS)).default([24]),
  /** Start and end of the used part of each file, as fractions of its length. */
  part: z.tuple([z.number().min(0).max(1), z.number().min(0).max(1)]).default([0, 1]),
  /** Longer series are cut to this many buckets ... */
  longest: z.number().int().min(64).optional(),
  /** ... at this many random places. */
  places: z.number().int().min(1).default(1),
  /** Share of the series whose sign is flipped. */
  flip: z.number().min(0).max(1).default(0),
  /** Share of the series that get an interval of 1 to 30 s, as sensors whose history is shorter than a day. */
  hasten: z.number().min(0).max(1).default(0),
  /** Weight relative to the other sets. */
  weight: z.number().nonnegative().default(1),
});
type DescribedSet = z.infer<typeof setSchema>;

/** Without `clock_start`, time columns are found by their names; without any, the first row is at `CLOCK_START`. */
export type DataSet = Omit<DescribedSet, 'clock_start'> & Partial<Pick<DescribedSet, 'clock_start'>>;

const fileSchema = z.strictObject({ sets: z.array(setSchema).min(1) });

const MOST_FILE_BYTES = 16 * 2 ** 20;
/** Intervals of hastened series. */
const HASTENED_MS = [1000, 1000, 2000, 5000, 10_000, 15_000, 30_000];
/** A gap longer than this many buckets splits a series. */
const LONGEST_HOLE = 500;
/** Shorter pieces are not used. */
const LEAST_BUCKETS = 64;
/** Series with a lower share of changed values are not used: their scaled errors are noise. */
const LEAST_CHANGES = 0.02;

/** Reads a file of sets, YAML or JSON; `files` in it are relative to it. @throws GatecastError FILE_UNREADABLE, CONFIG_INVALID */
export function readSets(path: string): DataSet[] {
  const text = readInput(path, MOST_FILE_BYTES).toString('utf8');
  let data: unknown;
  try {
    data = parse(text);
  } catch (cause) {
    throw new GatecastError('CONFIG_INVALID', `${path}: ${errorText(cause)}`, { cause });
  }
  const parsed = fileSchema.safeParse(data);
  if (!parsed.success) {
    const issues = parsed.error.issues.map((one) => ({ path: one.path.join('.'), message: one.message }));
    throw new GatecastError('CONFIG_INVALID', `${path} is not a valid file of data sets.`, { issues });
  }
  return parsed.data.sets.map((set) => ({
    ...set,
    files: set.files.map((file) => resolve(dirname(path), file)),
  }));
}

/** What drops a value, on the command line and in a file of sets. */
const remedyOf = (value: number): string => `--missing ${value} (in a file of sets: missing: [${value}])`;

/**
 * All series of a set.
 * @param warn gets warnings about values that look like marks of a missing value
 * @throws GatecastError as `readTable`; NOT_ENOUGH_DATA if no series is usable
 */
export function seriesOfSet(set: DataSet, seed = 1, warn: (text: string) => void = () => {}): JobSeries[] {
  const rng = new Random(seed);
  const series: JobSeries[] = [];
  for (const file of set.files) {
    const table = readTable(file, {
      columns: set.columns,
      time: set.time,
      timeFormat: set.time_format || undefined,
      id: set.id,
      delimiter: set.delimiter || undefined,
      decimal: set.decimal,
      missing: set.missing,
      clockStartMs: set.time ? undefined : set.clock_start,
      otherwiseStartMs: CLOCK_START,
      intervalMs: set.rows_every ?? set.intervals[0],
    });
    for (const hint of sentinelHints(file, table, remedyOf)) warn(hint);
    const all = readings(table);
    for (const intervalMs of set.intervals) {
      for (const grid of grids(all.names, all.readings, intervalMs)) {
        for (const piece of pieces(grid.actual, set.part)) {
          for (const { from, values } of cut(piece, set, rng)) {
            if (rng.chance(set.flip)) for (let i = 0; i < values.length; i++) values[i] = -values[i];
            series.push({
              name: `${set.name}/${grid.name}@${intervalMs / 1000}s`,
              group: set.name,
              intervalMs: rng.chance(set.hasten) ? rng.pick(HASTENED_MS) : intervalMs,
              startMs: grid.startMs + from * intervalMs,
              values,
              leads: set.horizons[series.length % set.horizons.length],
              settings: { ...FILE_SETTINGS, timeZone: set.timezone },
            });
          }
        }
      }
    }
  }
  if (series.length === 0) {
    throw new GatecastError(
      'NOT_ENOUGH_DATA',
      `Set '${set.name}' has no series of at least ${LEAST_BUCKETS} buckets.`,
      {
        hint: 'Check that the interval is not shorter than the one between rows, and that the columns are right.',
      },
    );
  }
  return series;
}

interface Piece {
  readonly from: number;
  readonly values: Float64Array;
}

/** The piece itself, or, if it is longer than `longest`, parts of it at random places. */
function cut(piece: Piece, { longest, places }: DataSet, rng: Random): Piece[] {
  const { length } = piece.values;
  if (longest === undefined || length <= longest) return [piece];
  return Array.from({ length: Math.min(places, Math.ceil(length / longest)) }, () => {
    const from = rng.int(0, length - longest);
    return { from: piece.from + from, values: piece.values.slice(from, from + longest) };
  });
}

/** The used part of a grid: split at long gaps, without empty ends and without (nearly) constant pieces. */
export function pieces(actual: Float64Array, [first, last]: readonly [number, number]): Piece[] {
  const end = Math.floor(actual.length * last);
  const found: Piece[] = [];
  let from = -1;
  let newest = -1;
  const close = () => {
    if (from >= 0 && newest + 1 - from >= LEAST_BUCKETS) {
      const values = Float64Array.from(actual.subarray(from, newest + 1));
      if (changes(values) >= LEAST_CHANGES) found.push({ from, values });
    }
    from = -1;
  };
  for (let t = Math.floor(actual.length * first); t < end; t++) {
    if (Number.isNaN(actual[t])) continue;
    if (from >= 0 && t - newest > LONGEST_HOLE) close();
    if (from < 0) from = t;
    newest = t;
  }
  close();
  return found;
}

function changes(values: Float64Array): number {
  let changed = 0;
  let last = Number.NaN;
  for (const value of values) {
    if (Number.isNaN(value)) continue;
    if (value !== last) changed++;
    last = value;
  }
  return (changed - 1) / values.length;
}
