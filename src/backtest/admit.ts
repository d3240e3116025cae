/**
 * Drops the readings of a file that the agent would refuse on arrival. Runs before the grid is built, so that one time
 * stamp of an unset clock does not stretch the grid over decades.
 */
import { assumedArrivalMs, refusal } from '../series/admission.ts';
import type { StreamSpec } from '../series/spec.ts';
import type { Reading } from './play.ts';

interface AdmitOptions extends Pick<StreamSpec, 'min' | 'max' | 'latenessMs'> {
  readonly intervalMs: number;
  /**
   * `time`: rows are sorted by time first, so none is late. `file`: rows keep the file's order, as `gatecast replay` sends
   * them, and a row more than `latenessMs` behind the newest is late, as it would be live.
   */
  readonly order: 'time' | 'file';
  /** Wall clock, ms: rows stamped after 2037 are refused if they are later than this. */
  readonly nowMs: number;
}

/**
 * @param all in the file's order
 * @param refused called with the reason for each reading that is dropped
 * @returns the others, in order of time
 */
export function admit(
  all: readonly Reading[],
  { order, intervalMs, latenessMs, min, max, nowMs }: AdmitOptions,
  refused: (reason: string) => void,
): Reading[] {
  /** By series, the newest time so far, ms. */
  const newest: number[] = [];
  const kept = all.filter(({ series, timeMs, value }) => {
    const sample = { stream: '', timeMs, value, arrivalMs: assumedArrivalMs(timeMs, nowMs) };
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
