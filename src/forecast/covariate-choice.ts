/**
 * Chooses the covariates of a stream while the agent runs (`covariates: auto`): other streams with the same interval. A
 * screening of the last buckets proposes some; they are then used on trial, and kept if they reduce the error of the
 * published forecasts. The search is repeated when the stream has seen twice as many buckets. Pure.
 */
import type { StateIo } from '../series/state-io.ts';
import { CovariateScreen, LEAST_BUCKETS, MOST_COVARIATES, SCREENED } from './covariate-screen.ts';

const FIRST_SEARCH = 300;
/** The screening reads this many buckets ... */
const MOST_BUCKETS = 800;
/** ... and compares this many streams by correlation, the best of them by a regression. */
const MOST_CANDIDATES = 64;
const MOST_REGRESSIONS = 6;
/** Scored forecasts of a trial, and the largest error, as a share of that without, that ends it well. */
const TRIAL = 400;
const KEPT = 0.98;
/** At the latest after this many buckets a trial without enough scores ends. */
const LONGEST_TRIAL = 4 * TRIAL;

/** Errors of the correction with covariates as a share of those without, where they help; and the number of errors compared. */
export interface CovariateGain {
  readonly share: number;
  readonly count: number;
}

/** What the choice needs of the other streams of the engine. */
export interface Neighbours {
  /** Names of the other streams with the same interval, the nearest first. */
  names(): readonly string[];
  /** The last values of the stream itself, at most `most`. */
  own(most: number): Float64Array;
  /** The values of another stream at the same times; null if it is gone, or has none. */
  values(name: string, most: number): Float64Array | null;
  /** Whether another stream may still get covariates. */
  hasRoom(): boolean;
}

interface Search {
  readonly screen: CovariateScreen;
  /** Streams that are still to be compared, with their values when the search began. */
  readonly left: { readonly name: string; readonly values: Float64Array }[];
  readonly found: { readonly name: string; readonly ratio: number }[];
}

export class CovariateChoice {
  /** Chosen streams, the best first; those on trial too. */
  names: readonly string[] = [];
  private onTrial = false;
  /** Buckets seen when the trial began. */
  private since = 0;
  /** Number of buckets at which the next search begins. */
  private next = FIRST_SEARCH;
  private search: Search | null = null;

  /**
   * Does a small part of the work. Call after steps of the stream.
   * @param buckets seen by the stream
   * @returns whether `names` has changed
   */
  work(buckets: number, gain: CovariateGain | null, others: Neighbours): boolean {
    if (this.onTrial) return this.judge(buckets, gain);
    if (this.search !== null) return this.compare(this.search, buckets);
    if (buckets >= this.next && (this.names.length > 0 || others.hasRoom())) this.begin(buckets, others);
    return false;
  }

  /** Another stream is gone. @returns whether `names` has changed */
  lose(name: string, buckets: number): boolean {
    if (!this.names.includes(name)) return false;
    this.names = this.names.filter((one) => one !== name);
    if (this.names.length > 0) return true;
    this.onTrial = false;
    this.next = buckets + LEAST_BUCKETS;
    return true;
  }

  private begin(buckets: number, others: Neighbours): void {
    this.next = 2 * buckets;
    if (this.names.length > 0) {
      // The last some hundred errors show whether they still help.
      this.onTrial = true;
      this.since = buckets;
      return;
    }
    const screen = new CovariateScreen(others.own(MOST_BUCKETS));
    if (!screen.isUsable) return;
    const related = others
      .names()
      .slice(0, MOST_CANDIDATES)
      .flatMap((name) => {
        const values = others.values(name, MOST_BUCKETS);
        return values === null ? [] : [{ name, values, relation: screen.relation(values) }];
      })
      .sort((a, b) => b.relation - a.relation)
      .slice(0, MOST_REGRESSIONS);
    this.search = { screen, left: related, found: [] };
  }

  /** One regression; after the last the trial begins. */
  private compare({ screen, left, found }: Search, buckets: number): boolean {
    const one = left.pop();
    if (one !== undefined) {
      const { ratio, bound } = screen.compare(one.values);
      if (bound < SCREENED) found.push({ name: one.name, ratio });
      return false;
    }
    this.search = null;
    if (found.length === 0) return false;
    this.names = found
      .sort((a, b) => a.ratio - b.ratio)
      .slice(0, MOST_COVARIATES)
      .map((one) => one.name);
    this.onTrial = true;
    this.since = buckets;
    return true;
  }

  private judge(buckets: number, gain: CovariateGain | null): boolean {
    const enough = gain !== null && gain.count >= TRIAL;
    if (!enough && buckets - this.since < LONGEST_TRIAL) return false;
    this.onTrial = false;
    if (enough && gain.share < KEPT) return false;
    this.names = [];
    return true;
  }

  persist(io: StateIo): void {
    this.onTrial = io.number(this.onTrial ? 1 : 0) === 1;
    this.since = io.number(this.since);
    this.next = io.number(this.next);
    const count = io.number(this.names.length);
    this.names = Array.from({ length: count }, (_, i) => text(io, this.names[i] ?? ''));
  }
}

/** Saves or restores a text as the numbers of its UTF-16 units. */
function text(io: StateIo, value: string): string {
  const length = io.number(value.length);
  return Array.from({ length }, (_, i) => String.fromCharCode(io.number(value.charCodeAt(i)))).join('');
}
