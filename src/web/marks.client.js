/** Names and explanations of quality marks. Runs in the browser. */

/** name -> label, explanation */
const MARKS = {
  spike: ['spike', 'far from the readings before and from what was expected'],
  stuck: ['stuck', 'the same value for much longer than usual'],
  'flat-line': ['flat line', 'hardly any change for much longer than usual'],
  'out-of-range': ['out of range', 'a reading outside the limits, not used'],
  step: ['step', 'the readings moved to another level'],
  'too-fast': ['too fast', 'a reading that changed faster than the limit, not used'],
  late: ['late', 'a reading that arrived after its bucket was closed'],
  'assigned-time': ['time estimated', 'a reading that arrived late and without a time stamp'],
  'counter-jump': [
    'counter jump',
    'the counter fell, or rose further than it can: counting starts again from there',
  ],
};
/** Marks whose bucket enters the forecast as if it were empty. */
const MASKED = ['spike', 'stuck', 'flat-line'];

/** @param point [time, observed, low, p50, high, marks?] */
export const isMasked = (point) => point[5]?.some((name) => MASKED.includes(name)) ?? false;

export const markLabel = (name) => MARKS[name]?.[0] ?? name;

export function markText(name) {
  const why = MARKS[name]?.[1];
  const kept = MASKED.includes(name) ? '; not used for forecasts and training' : '';
  return why === undefined ? name : `${markLabel(name)}: ${why}${kept}`;
}
