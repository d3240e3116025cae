/**
 * Collects the stop functions of everything that was started and calls them in reverse order. A stop that fails or
 * hangs does not prevent the others.
 */
import { errorFields } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Clock } from '../system/clock.ts';

/** Longest wait for one part, ms. */
const PATIENCE_MS = 2000;

export class Stops {
  private readonly list: { readonly name: string; readonly stop: () => void | Promise<void> }[] = [];

  constructor(
    private readonly clock: Clock,
    private readonly log: Logger,
  ) {}

  add(name: string, stop: () => void | Promise<void>): void {
    this.list.push({ name, stop });
  }

  /** Stops everything; a second call does nothing. */
  async run(): Promise<void> {
    for (let part = this.list.pop(); part !== undefined; part = this.list.pop()) {
      const { name, stop } = part;
      try {
        await this.inTime(Promise.resolve(stop()));
      } catch (error) {
        this.log.error('stop failed', { part: name, ...errorFields(error) });
      }
    }
  }

  private inTime(stopped: Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      const cancel = this.clock.after(PATIENCE_MS, () => reject(new Error(`not within ${PATIENCE_MS} ms`)));
      stopped.then(resolve, reject).finally(cancel);
    });
  }
}
