/** Finds series in a file that another `--aggregate` would fit: meters that also run backwards, and directions. */
import type { Aggregate } from '../series/spec.ts';
import type { Table } from '../table/table.ts';

/** Minimum number of moves of a series before it is judged. */
const ENOUGH = 48;
/** A counter that falls more often than this share of its moves runs backwards; resets and wrong readings are rarer. */
const BACKWARDS = 0.02;
/** A direction passes north at least this often. */
const LEAST_PASSES = 3;
/** Directions come this close to both ends of the circle, degrees. */
const NEAR_END = 15;
/** A move above `PASS` degrees passes north. A direction rarely turns by between `HALF` and `PASS` degrees at once. */
const HALF = 120;
const PASS = 240;

class Moves {
  private last = Number.NaN;
  private count = 0;
  private small = 0;
  private resets = 0;
  private passes = 0;
  private turns = 0;
  private low = Number.POSITIVE_INFINITY;
  private high = Number.NEGATIVE_INFINITY;

  add(value: number): void {
    const before = this.last;
    this.last = value;
    this.low = Math.min(this.low, value);
    this.high = Math.max(this.high, value);
    const move = value - before;
    if (Number.isNaN(move) || move === 0) return;
    this.count++;
    if (move < 0) {
      if (value > 0.5 * before) this.small++;
      else this.resets++;
    }
    const size = Math.abs(move);
    if (size > PASS) this.passes++;
    else if (size > HALF) this.turns++;
  }

  get runsBackwards(): boolean {
    return this.count >= ENOUGH && this.small > BACKWARDS * this.count && this.small > 2 * this.resets;
  }

  get isDirection(): boolean {
    const { low, high } = this;
    const fromZero = low >= 0 && low <= NEAR_END && high <= 360 && high >= 360 - NEAR_END;
    const fromHalf = low >= -180 && low <= -180 + NEAR_END && high <= 180 && high >= 180 - NEAR_END;
    return (
      (fromZero || fromHalf) &&
      this.count >= ENOUGH &&
      this.passes >= LEAST_PASSES &&
      this.passes > 2 * this.turns
    );
  }
}

/** Warnings about series that are combined in a way that does not fit their values. */
export function aggregateHints(file: string, table: Table, aggregate: Aggregate): string[] {
  const columns = table.columns.map(() => new Moves());
  for (const { values } of table.rows())
    for (const [at, column] of columns.entries()) {
      const value = values[at] ?? Number.NaN;
      if (!Number.isNaN(value)) column.add(value);
    }
  const named = (is: (moves: Moves) => boolean): string =>
    table.columns.filter((_, at) => is(columns[at] as Moves)).join(', ');
  const backwards = aggregate === 'delta' ? named(({ runsBackwards }) => runsBackwards) : '';
  const directions = aggregate === 'circular-mean' ? '' : named(({ isDirection }) => isDirection);
  return [
    ...(backwards === ''
      ? []
      : [`${file}: ${backwards} also runs backwards; --aggregate change forecasts the signed increase`]),
    ...(directions === ''
      ? []
      : [
          `${file}: ${directions} looks like a direction in degrees; --aggregate circular-mean averages and forecasts on the circle`,
        ]),
  ];
}
