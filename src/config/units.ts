/** Parses and formats durations, sizes and rates of a config. */

const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};
const DURATION = /^(\d{1,9}(?:\.\d{1,6})?)(ms|s|m|h|d|w)$/;
const DURATION_PART = /(\d{1,9}(?:\.\d{1,6})?)(ms|s|m|h|d|w)/g;
const COMPOUND = /^(?:\d{1,9}(?:\.\d{1,6})?(?:ms|s|m|h|d|w)){2,6}$/;
const UNIT_BYTES: Readonly<Record<string, number>> = { B: 1, KB: 1024, MB: 1024 ** 2, GB: 1024 ** 3 };
const SIZE = /^(\d{1,12}(?:\.\d{1,3})?)\s?(B|KB|MB|GB)$/i;
const RATE = /^(\d{1,12}(?:\.\d{1,9})?)\/(.+)$/;

/** ms from `30s`, `5m`, `1h`, `14d`, `1h30m`, `250ms`; null if invalid. */
export function parseDuration(text: string): number | null {
  const trimmed = text.trim();
  const single = DURATION.exec(trimmed);
  if (single !== null) return Math.round(Number(single[1]) * UNIT_MS[single[2]]);
  if (!COMPOUND.test(trimmed)) return null;
  let total = 0;
  for (const part of trimmed.matchAll(DURATION_PART)) total += Number(part[1]) * UNIT_MS[part[2]];
  return Math.round(total);
}

/** The shortest text that `parseDuration` converts to the same number of ms. */
export function formatDuration(ms: number): string {
  if (ms === 0) return '0s';
  for (const unit of ['d', 'h', 'm', 's'] as const) {
    const size = UNIT_MS[unit];
    if (ms % size === 0) return `${ms / size}${unit}`;
  }
  return `${ms}ms`;
}

/** For people: `5h36m`, where `formatDuration` has `336m`. `parseDuration` reads both. */
export function readableDuration(ms: number): string {
  let rest = ms;
  let text = '';
  for (const unit of ['d', 'h', 'm', 's', 'ms'] as const) {
    const count = Math.floor(rest / UNIT_MS[unit]);
    rest -= count * UNIT_MS[unit];
    if (count > 0) text += `${count}${unit}`;
  }
  return text === '' ? '0s' : text;
}

/** Bytes from `256MB`, `64KB`, `1.5GB`; one KB is 1024 bytes. null if invalid. */
export function parseSize(text: string): number | null {
  const found = SIZE.exec(text.trim());
  return found === null ? null : Math.round(Number(found[1]) * UNIT_BYTES[found[2].toUpperCase()]);
}

/** The shortest text that `parseSize` converts to the same number of bytes. */
export function formatSize(bytes: number): string {
  for (const unit of ['GB', 'MB', 'KB'] as const) {
    const size = UNIT_BYTES[unit];
    if (bytes > 0 && bytes % size === 0) return `${bytes / size}${unit}`;
  }
  return `${bytes}B`;
}

/** Change per ms from `5/1m`: at most 5 units of the stream in one minute. null if invalid. */
export function parseRate(text: string): number | null {
  const found = RATE.exec(text.trim());
  const perMs = found === null ? null : parseDuration(found[2]);
  return perMs === null || perMs === 0 || found === null ? null : Number(found[1]) / perMs;
}
