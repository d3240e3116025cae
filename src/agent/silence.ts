/** What a first config is most often wrong about: the broker answers, and nothing comes that a rule can read. Logged once. */
import type { Logger } from '../log.ts';
import type { Clock } from '../system/clock.ts';

/** Slow sensors take as long; who looks at the log after the first start does not wait longer. */
const PATIENCE_MS = 120_000;

export interface SilenceParts {
  readonly clock: Pick<Clock, 'after'>;
  readonly log: Pick<Logger, 'warn'>;
  /** Streams met so far, in former runs too. */
  readonly streams: () => number;
  /** Without a broker that is what the log says. */
  readonly connected: () => boolean;
}

/** @returns the end of it */
export function warnOfSilence({ clock, log, streams, connected }: SilenceParts): () => void {
  return clock.after(PATIENCE_MS, () => {
    if (streams() > 0 || !connected()) return;
    log.warn('no reading so far', {
      seconds: PATIENCE_MS / 1000,
      hint: '`gatecast check -c FILE --listen 60s` shows what comes in, and what the rules make of it',
    });
  });
}
