/** Numbers, durations and times as text. Runs in the browser. */

/** Decimal places that show a difference of `step`; one more for 2.5 and 25 than for 1 and 10. */
function placesFor(step) {
  const power = Math.floor(Math.log10(step) + 1e-9);
  const digit = step / 10 ** power;
  const more = Math.abs(digit - Math.round(digit)) < 1e-6 ? 0 : 1;
  return Math.max(0, Math.min(12, more - power));
}

/**
 * About four significant digits, thousands as the reader's locale writes them.
 * @param apart use more digits if values that differ by this much would look equal
 */
export function format(value, apart = 0) {
  if (value === null || value === undefined || !Number.isFinite(value)) return '–';
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e7 || size < 1e-3) && !(apart > 0 && size >= 1e7 && apart < size / 1e4))
    return value.toExponential(apart > 0 ? exponentDigits(size, apart) : 2);
  return value.toLocaleString(undefined, { maximumFractionDigits: placesApart(size, apart) });
}

const usualPlaces = (size) => (size >= 1000 ? 0 : size >= 100 ? 1 : size >= 1 ? 2 : 3);

/** Function that writes numbers of a column with the same number of decimals: two digits of the smallest, four of the largest. */
export function columnFormat(values) {
  const sizes = values.filter((value) => Number.isFinite(value) && value !== 0).map(Math.abs);
  const [least, most] = [Math.min(...sizes), Math.max(...sizes)];
  if (sizes.length === 0 || most >= 1e7 || least < 1e-3) return (value) => format(value);
  const places = Math.max(usualPlaces(most), Math.min(4, 1 - Math.floor(Math.log10(least))));
  const text = { minimumFractionDigits: places, maximumFractionDigits: places };
  return (value) => (Number.isFinite(value) ? (value + 0).toLocaleString(undefined, text) : '–');
}

/** Function that writes numbers with the same number of decimals, enough to distinguish those that differ by `apart`. */
export function evenFormat(values, apart) {
  const most = Math.max(...values.map(Math.abs));
  if (!(most >= 1e-3 && most < 1e7)) return (value) => format(value, apart);
  const places = placesApart(most, apart);
  const text = { minimumFractionDigits: places, maximumFractionDigits: places };
  return (value) =>
    Number.isFinite(value) ? (Number(value.toFixed(places)) + 0).toLocaleString(undefined, text) : '–';
}

const placesApart = (size, apart) =>
  Math.max(usualPlaces(size), apart > 0 ? Math.min(12, -Math.floor(Math.log10(apart))) : 0);

const exponentDigits = (size, step) =>
  Math.max(1, Math.min(12, Math.floor(Math.log10(size)) - Math.floor(Math.log10(step) + 1e-9)));

/** Both ends of an interval, with enough digits to distinguish them, and no more decimals at one end than at the other. */
export function interval(low, high) {
  const most = Math.max(Math.abs(low), Math.abs(high));
  const apart = (high - low) / 20;
  if (!(most >= 1e-3 && most < 1e7)) return `${format(low, apart)} – ${format(high, apart)}`;
  const text = { maximumFractionDigits: placesApart(most, apart) };
  return `${low.toLocaleString(undefined, text)} – ${high.toLocaleString(undefined, text)}`;
}

/** Labels of ticks that are `step` apart: all with the same number of decimals, enough to distinguish them. */
export function tickTexts(values, step) {
  const most = Math.max(...values.map(Math.abs), 0);
  if (most > 0 && (most < 1e-3 || most >= 1e12))
    return values.map((value) => (value === 0 ? '0' : value.toExponential(exponentDigits(most, step))));
  const [per, sign] = [
    [1e9, ' G'],
    [1e6, ' M'],
  ].find(([unit]) => most >= 10 * unit && step >= unit / 1e3) ?? [1, ''];
  const places = placesFor(step / per);
  const text = { minimumFractionDigits: places, maximumFractionDigits: places };
  return values.map((value) => `${(value / per + 0).toLocaleString(undefined, text)}${sign}`);
}

/** In two units where one would not be exact: 2 h 40 min. */
export function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return inUnits(seconds, [60, 'min'], [1, 's']);
  if (seconds < 172800) return inUnits(seconds, [3600, 'h'], [60, 'min']);
  return inUnits(seconds, [86400, 'd'], [3600, 'h']);
}

function inUnits(seconds, [size, unit], [part, partUnit]) {
  const parts = Math.round(seconds / part);
  const rest = parts % (size / part);
  const whole = `${(parts - rest) / (size / part)} ${unit}`;
  return rest === 0 ? whole : `${whole} ${rest} ${partUnit}`;
}

/** A time on the clock, with the day if ticks are a day or more apart. @param stepS distance between such times, s */
export function clockText(ms, stepS) {
  const options =
    stepS < 60
      ? { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false }
      : stepS < 86400
        ? { hour: '2-digit', minute: '2-digit', hour12: false }
        : { month: 'short', day: 'numeric' };
  return new Date(ms).toLocaleString(undefined, options);
}

/** Day and clock. */
export const dateText = (ms) =>
  new Date(ms).toLocaleString(undefined, {
    month: 'short',
    day: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
    hour12: false,
  });

export const percent = (share) => `${Math.round(share * 100)} %`;

export function signedPercent(share) {
  const whole = Math.round(share * 100);
  return `${whole > 0 ? '+' : whole < 0 ? '-' : ''}${Math.abs(whole)} %`;
}

const WEEKDAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];

/** A cron expression in words if it is a usual one, else the expression itself. */
export function scheduleText(expression) {
  const [minute, hour, day, month, weekday, ...more] = expression.split(' ');
  const isNumber = (field) => /^\d+$/.test(field);
  if (month !== '*' || more.length > 0) return expression;
  const every = /^\*\/(\d+)$/;
  if (day === '*' && weekday === '*' && hour === '*') {
    if (isNumber(minute)) return `every hour, ${minute} min past`;
    const [, minutes = '0'] = every.exec(minute) ?? [];
    if (60 % minutes === 0) return `every ${minutes} minutes`;
  }
  if (!isNumber(minute)) return expression;
  const clock = (at) => `${at.padStart(2, '0')}:${minute.padStart(2, '0')}`;
  const [, each = '0'] = every.exec(hour) ?? [];
  if (day === '*' && weekday === '*' && 24 % each === 0) return `every ${each} hours from ${clock('0')} on`;
  const hours = hour.split(',');
  if (!hours.every(isNumber)) return expression;
  const times = `at ${hours.map(clock).join(', ')}`;
  if (weekday === '*' && day === '*') return `every day ${times}`;
  if (weekday === '*' && isNumber(day)) return `on day ${day} of each month ${times}`;
  const days = weekday.split(',').map((one) => (isNumber(one) ? WEEKDAYS[one % 7] : undefined));
  return day === '*' && !days.includes(undefined) ? `every ${days.join(', ')} ${times}` : expression;
}
