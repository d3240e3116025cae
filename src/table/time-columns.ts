/** Finds the time columns of a table by their usual names, ignoring case. */

/** In order of preference. */
const STAMPS = [
  'timestamp',
  'datetime',
  'date_time',
  'date time',
  'time_stamp',
  'time',
  'date',
  'ts',
  'ts_ms',
  'ts_s',
];
const PARTS = ['year', 'month', 'day', 'hour', 'minute', 'second'];
/** Minimum number of parts of a date. */
const LEAST_PARTS = 3;

/** @returns names from the header: one stamp; a date and a clock time; year, month, day and so on; or none */
export function timeColumns(header: readonly string[]): string[] {
  const names = new Map(header.map((name) => [name.toLowerCase(), name]));
  const [date, time] = [names.get('date'), names.get('time')];
  const stamp = STAMPS.find((name) => names.has(name));
  if (date !== undefined && time !== undefined && (stamp === 'time' || stamp === 'date')) return [date, time];
  if (stamp !== undefined) return [names.get(stamp)!];
  const missing = PARTS.findIndex((name) => !names.has(name));
  const parts = missing < 0 ? PARTS : PARTS.slice(0, missing);
  return parts.length < LEAST_PARTS ? [] : parts.map((name) => names.get(name)!);
}
