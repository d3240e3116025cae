/**
 * The simple forecasters that run beside the network on every stream. Each writes a value for every lead. The
 * network mixes these values and corrects the mixture, so that on an unseen sensor it starts from the best of them.
 * All are causal, cost O(leads) per step and need no fitting.
 */
import { MEDIAN } from '../quantiles.ts';
import { ArrayBlock } from './array-block.ts';
import { Bounds } from './bounds.ts';
import type { Phases } from './calendar.ts';
import { Climate } from './climate.ts';
import { Excursion } from './excursion.ts';
import { History } from './history.ts';
import { LagMatch } from './lag-match.ts';
import { MAX_BINS, Profile } from './profile.ts';
import { RobustScale, RunningMean } from './running.ts';
import type { StateIo } from './state-io.ts';

/** Row of each expert in the output of `forecast`. */
export const EXPERTS = {
  last: 0,
  fastMean: 1,
  slowMean: 2,
  longMean: 3,
  trend: 4,
  seasonalNaive: 5,
  profile: 6,
  profileAndLast: 7,
  profileAndLevel: 8,
  weekProfile: 9,
  weekNaive: 10,
  cycle: 11,
  cycleAndLast: 12,
  analogue: 13,
  longMedian: 14,
} as const;
export const E = Object.keys(EXPERTS).length;

const DAY_MS = 86_400_000;
const MAX_LAG = 4096;
const MATCH_LAG = 1536;
const FAST_SPAN = 6;
const SLOW_SPAN = 48;
const LEVEL_SPAN = 24;
/** Number of compared seasons before a season is accepted. */
const SEASON_REPEATS = 4;
/** Longest wrong stretch: this share of a day, or this many steps if the steps of a day are none or too many. */
const LONGEST_EXCURSION = 0.25;
const MOST_EXCURSION_STEPS = 360;
const EXCURSION_STEPS = 64;
const TREND_DAMPING = 0.92;

export class Experts {
  readonly history: History;
  /** Steps in a day, rounded; 0 if a bucket is longer than a quarter of a day. */
  readonly dayLag: number;
  readonly weekLag: number;
  private readonly stepsPerDay: number;
  private readonly day: Profile | null;
  private readonly week: Profile | null;
  private readonly fast = new RunningMean(FAST_SPAN);
  private readonly slow = new RunningMean(SLOW_SPAN);
  private readonly long: RunningMean;
  private readonly slope = new RunningMean(8);
  private readonly level = new RunningMean(LEVEL_SPAN);
  readonly climate: Climate;
  readonly bounds = new Bounds();
  private readonly spread = new RobustScale(2048);
  private readonly excursion: Excursion;
  private readonly cycle: LagMatch;
  private readonly analogue: LagMatch;
  /** Period in steps; 0 while unknown. */
  private cycleLag = 0;
  /** Steps of the shortest season of the stream; 0 if it has none. */
  private season = 0;
  private readonly analogueLags: Int32Array;
  private analogueCount = 0;
  private last = 0;
  private lastResidual = 0;

  constructor(intervalMs: number, leads: number, memory = new ArrayBlock()) {
    this.climate = new Climate(memory);
    this.stepsPerDay = DAY_MS / intervalMs;
    const hasDay = this.stepsPerDay >= 4;
    const dayLag = Math.round(this.stepsPerDay);
    const weekLag = Math.round(7 * this.stepsPerDay);
    this.dayLag = hasDay && dayLag <= MAX_LAG ? dayLag : 0;
    this.weekLag = hasDay && weekLag <= MAX_LAG ? weekLag : 0;
    this.day = hasDay ? new Profile(this.stepsPerDay, 10, MAX_BINS, memory) : null;
    this.week = hasDay ? new Profile(7 * this.stepsPerDay, 5, 168, memory) : null;
    this.long = new RunningMean(Math.max(256, Math.min(2048, Math.round(14 * this.stepsPerDay))));
    const matchLag = Math.min(MATCH_LAG, Math.max(512, 8 * leads));
    this.history = new History(Math.max(this.dayLag, this.weekLag, matchLag) + 2, memory);
    const longest = Math.min(MOST_EXCURSION_STEPS, Math.ceil(LONGEST_EXCURSION * this.stepsPerDay));
    this.excursion = new Excursion(this.dayLag > 0 ? longest : EXCURSION_STEPS, this.dayLag);
    this.cycle = new LagMatch(matchLag, 6, 1024, memory);
    this.analogue = new LagMatch(matchLag, 12, 24, memory);
    this.analogueLags = memory.int32(3);
  }

  get seasons(): { day: boolean; week: boolean; cycle: number } {
    const steps = this.history.steps;
    return {
      day: this.dayLag > 0 && steps > this.dayLag,
      week: this.weekLag > 0 && steps > this.weekLag,
      cycle: this.cycleLag,
    };
  }

  get recurring(): number {
    return this.season;
  }
  get fastMean(): number {
    return this.fast.value;
  }
  get slowMean(): number {
    return this.slow.value;
  }
  get longMean(): number {
    return this.long.value;
  }
  get residualLevel(): number {
    return this.level.value;
  }

  /** Writes the lowest and the highest value at the phase of the next bucket in the last seasons; NaN if there is no season. */
  phaseRange(out: { low: number; high: number }): void {
    const { season, history } = this;
    out.low = season === 0 ? Number.NaN : Infinity;
    out.high = season === 0 ? Number.NaN : -Infinity;
    if (season === 0) return;
    for (let m = 1; m <= SEASON_REPEATS && m * season - 1 <= history.reach; m++) {
      const value = history.at(m * season - 1);
      out.low = Math.min(out.low, value);
      out.high = Math.max(out.high, value);
    }
  }

  /** Mean absolute deviation from the long mean. */
  get longSpread(): number {
    return this.spread.value;
  }

  /** Mean absolute deviation around the daily profile at a phase of the day; NaN while unknown. */
  phaseSpread(dayPhase: number): number {
    return this.day === null ? Number.NaN : this.day.spread(dayPhase);
  }

  /**
   * Updates all experts with the newest bucket.
   * @param value observed or filled
   * @param observed only observed values update profiles and means
   */
  update(value: number, observed: boolean, dayPhase: number, weekPhase: number): void {
    const previous = this.last;
    const first = this.history.steps === 0;
    this.history.push(value);
    this.last = value;
    if (this.day !== null && this.week !== null) {
      const base = this.day.at(dayPhase, this.long.value);
      this.lastResidual = first ? 0 : value - base;
      if (observed) {
        this.level.add(this.lastResidual);
        this.week.add(weekPhase, this.lastResidual);
        this.day.add(dayPhase, value);
      }
    }
    if (observed) {
      this.fast.add(value);
      this.slow.add(value);
      if (!first) this.spread.add(value - this.long.value);
      this.long.add(value);
      this.climate.add(value, this.spread.value);
      this.bounds.add(value);
      this.excursion.add(value, this.history);
      if (!first) this.slope.add(value - previous);
    }
    this.cycle.update(this.history);
    this.analogue.update(this.history);
    const steps = this.history.steps;
    if (steps >= 32 && (steps < 512 ? steps % 16 === 0 : steps % 64 === 0)) {
      const period = new Int32Array(1);
      this.cycleLag = this.cycle.best(period, 1, Math.min(256, steps / 3)) > 0 ? period[0] : 0;
      this.season = this.cycle.season(SEASON_REPEATS);
    }
    // A lag stays aligned with the matching history, so searching every few steps is enough.
    if (steps >= 32 && steps % 4 === 0) this.analogueCount = this.analogue.best(this.analogueLags, 4, 12);
  }

  /** Forecast for lead k with period `lag`: the value `lag - k` steps ago, shifted by whole periods into the past. */
  private repeat(k: number, lag: number): number {
    const back = lag * Math.ceil(k / lag) - k;
    return this.history.at(back);
  }

  /**
   * @param phases of each lead's bucket, [leads]
   * @param out [E, leads] row-major
   */
  forecast(leads: number, phases: Phases, out: Float32Array): void {
    const { last, history, bounds } = this;
    const reach = history.reach;
    const long = this.long.count > 0 ? this.long.value : last;
    const dayLag = this.dayLag > 0 && reach >= this.dayLag ? this.dayLag : 0;
    const weekLag = this.weekLag > 0 && reach >= this.weekLag ? this.weekLag : 0;
    const cycleLag = reach >= this.cycleLag ? this.cycleLag : 0;
    const cycleOffset = cycleLag > 0 ? last - history.at(cycleLag) : 0;
    const typical = this.climate.quantiles[MEDIAN];
    let trendSum = 0;
    let damping = 1;
    for (let k = 1; k <= leads; k++) {
      const at = k - 1;
      damping *= TREND_DAMPING;
      trendSum += damping;
      const base = this.day === null ? long : this.day.at(phases.day[at], long);
      const weekly = this.week === null ? 0 : this.week.at(phases.week[at], 0);
      const seasonal = dayLag > 0 ? this.repeat(k, dayLag) : last;
      const cyclic = cycleLag > 0 ? this.repeat(k, cycleLag) : seasonal;
      let analogue = 0;
      for (let i = 0; i < this.analogueCount; i++) analogue += this.repeat(k, this.analogueLags[i]);
      out[EXPERTS.last * leads + at] = last;
      out[EXPERTS.fastMean * leads + at] = this.fast.count > 0 ? this.fast.value : last;
      out[EXPERTS.slowMean * leads + at] = this.slow.count > 0 ? this.slow.value : last;
      out[EXPERTS.longMean * leads + at] = long;
      out[EXPERTS.trend * leads + at] = last + this.slope.value * trendSum;
      out[EXPERTS.seasonalNaive * leads + at] = seasonal;
      out[EXPERTS.profile * leads + at] = base;
      out[EXPERTS.profileAndLast * leads + at] = this.day === null ? last : base + this.lastResidual;
      out[EXPERTS.profileAndLevel * leads + at] = this.day === null ? last : base + this.level.value;
      out[EXPERTS.weekProfile * leads + at] = base + weekly;
      out[EXPERTS.weekNaive * leads + at] = weekLag > 0 ? this.repeat(k, weekLag) : seasonal;
      out[EXPERTS.cycle * leads + at] = cyclic;
      out[EXPERTS.cycleAndLast * leads + at] = bounds.hold(cyclic + cycleOffset);
      out[EXPERTS.analogue * leads + at] = this.analogueCount > 0 ? analogue / this.analogueCount : last;
      out[EXPERTS.longMedian * leads + at] = typical;
    }
  }

  persist(io: StateIo): void {
    this.history.persist(io);
    this.day?.persist(io);
    this.week?.persist(io);
    for (const mean of [this.fast, this.slow, this.long, this.slope, this.level]) mean.persist(io);
    this.climate.persist(io);
    this.bounds.persist(io);
    this.excursion.persist(io);
    this.spread.persist(io);
    this.cycle.persist(io);
    this.analogue.persist(io);
    io.array(this.analogueLags);
    this.cycleLag = io.number(this.cycleLag);
    this.season = io.number(this.season);
    this.analogueCount = io.number(this.analogueCount);
    this.last = io.number(this.last);
    this.lastResidual = io.number(this.lastResidual);
  }
}
