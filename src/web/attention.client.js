/** Which streams matter most, and why. Runs in the browser. */
import { duration, format, percent } from './format.client.js';
import { markLabel, markText } from './marks.client.js';

/** Steps for which an anomaly counts as new. */
const NEW_STEPS = 20;

/** @returns rank (0: nothing special), and badges as [text, tone, explanation] */
export function attention(summary) {
  const { crossing, quality, marks, anomaly_ms, issued_ms, step_s } = summary;
  const reasons = [];
  const likely = crossing?.probability ?? 0;
  if (crossing?.learning) {
    const { scored, of } = crossing.learning;
    const why = `${crossing.name}: ${scored} of ${of} forecasts at this lead have been scored; then its time is shown`;
    reasons.push({ rank: 0, badge: [`${crossing.name}: learning`, '', why] });
  } else if (likely >= 0.1) {
    const where = `${crossing.side} ${format(crossing.value)}`;
    const when =
      crossing.at_ms === null ? '' : ` in ${duration(Math.max(0, (crossing.at_ms - issued_ms) / 1000))}`;
    reasons.push({
      rank: likely >= 0.5 ? 3 + likely : 1 + likely,
      badge: [
        likely >= 0.5 ? `${crossing.name}${when}` : `${crossing.name}: ${percent(likely)}`,
        likely >= 0.5 ? 'bad' : 'warn',
        `${crossing.name}: ${where} with a probability of ${percent(likely)}${when}`,
      ],
    });
  }
  if (quality === 'stale')
    reasons.push({
      rank: 2.5,
      badge: ['stale', 'bad', 'No reading for longer than the configured maximum gap'],
    });
  if (anomaly_ms !== null && issued_ms - anomaly_ms < NEW_STEPS * step_s * 1000)
    reasons.push({ rank: 2, badge: ['anomaly', 'bad', 'A reading was far less likely than forecast'] });
  for (const name of marks) reasons.push({ rank: 1.5, badge: [markLabel(name), 'bad', markText(name)] });
  reasons.sort((a, b) => b.rank - a.rank);
  return { rank: reasons[0]?.rank ?? 0, badges: reasons.map((reason) => reason.badge) };
}

/** By rank, then by liveliness, then by name. */
export const byAttention = (a, b) =>
  attention(b).rank - attention(a).rank || b.liveliness - a.liveliness || byName(a, b);

export const byName = (a, b) => (a.stream < b.stream ? -1 : a.stream > b.stream ? 1 : 0);
