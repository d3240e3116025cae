/** Names and explanations of quality marks. Runs in the browser. */

/** name -> label, explanation */
const MARKS = {
  spike: ['spike', 'far from the readings before and from what was expected'],
  stuck: ['stuck', 'the same value for much longer than usual'],
  'flat-line': ['flat line', 'hardly any change for much longer than usual'],
  'out-of-range': ['out of range', 'a reading outside the limits, left out'],
  step: ['step', 'the readings moved to another level'],
  'too-fast': ['too fast', 'a reading that changed faster than the limit, left out'],
  late: ['late', 'a reading that came after its bucket was closed'],
  'assigned-time': ['time estimated', 'a reading that came late and without a time stamp'],
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
  const kept = MASKED.includes(name) ? '; kept out of the forecast and of training' : '';
  return why === undefined ? name : `${markLabel(name)}: ${why}${kept}`;
}
