/**
 * Which readings of a file are played at all: judged as live judges them on arrival, before the grid is laid, so that
 * one stamp of a clock that was never set does not stretch it over decades.
 */
import { refusal } from '../series/admission.ts';
import type { StreamSpec } from '../series/spec.ts';
import type { Reading } from './play.ts';

export interface AdmitOptions extends Pick<StreamSpec, 'min' | 'max' | 'latenessMs'> {
  readonly intervalMs: number;
  /**
   * `time`: sorted first, as for a file that was merged or exported in another order; nothing is late. `file`: as the rows
   * stand, which is how `gatecast replay` sends them; what falls behind `latenessMs` is late, as it would be live.
   */
  readonly order: 'time' | 'file';
}

/**
 * @param all in the file's order
 * @param refused told why of each reading that is left out
 * @returns in order of time
 */
export function admit(
  all: readonly Reading[],
  { order, intervalMs, latenessMs, min, max }: AdmitOptions,
  refused: (reason: string) => void,
): Reading[] {
  /** By series, the newest time so far, ms. */
  const newest: number[] = [];
  const kept = all.filter(({ series, timeMs, value }) => {
    const sample = { stream: '', timeMs, value, arrivalMs: timeMs };
    const reason = refusal(sample, { min, max }, intervalMs);
    if (reason !== null) {
      refused(reason);
      return false;
    }
    if (order === 'time') return true;
    const before = newest[series] ?? Number.NEGATIVE_INFINITY;
    if (Math.floor(timeMs / intervalMs) < Math.floor((before - latenessMs) / intervalMs)) {
      refused('late');
      return false;
    }
    newest[series] = Math.max(before, timeMs);
    return true;
  });
  return kept.sort((a, b) => a.timeMs - b.timeMs);
}
