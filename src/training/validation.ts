/**
 * Batches that cover the validation ranges once, in order, with carried state, so that models are compared on exactly the
 * same targets. The state is warmed up on the steps before the range. Pure.
 */
import { checkSeries, type Range, type TrainingSeries } from './dataset.ts';
import { type BatchShape, copyInputs, keepInside, makeBatch, type TrainingBatch } from './sampler.ts';

interface ValidationOptions extends BatchShape {
  readonly stateLayers: number;
  readonly hidden: number;
  /** Steps before the range that warm up the state and are not scored. */
  readonly warmUp: number;
  /** Maximum number of batches per pass; of longer ranges only the newest part is used. */
  readonly mostBatches?: number;
}

interface Lane {
  readonly series: TrainingSeries;
  readonly range: Range;
  /** First bucket of the first chunk. */
  readonly start: number;
}

/** One pass: `for (const batch of pass.batches()) { run; pass.carry(hT) }`. May be repeated. */
export class ValidationPass {
  private readonly batch: TrainingBatch;
  private readonly lanes: Lane[];
  private readonly leads: Int32Array;
  /** Series of the current batch, in the order of its rows. */
  rows: readonly TrainingSeries[] = [];

  constructor(
    series: readonly TrainingSeries[],
    ranges: readonly (Range | null)[],
    private readonly options: ValidationOptions,
  ) {
    const { inputs, zWidth } = checkSeries(series, options);
    this.batch = makeBatch(options, options.stateLayers, options.hidden, inputs, zWidth);
    this.leads = new Int32Array(options.leads);
    const used = series.flatMap((one, k) => (ranges[k] ? [{ series: one, range: ranges[k] }] : []));
    const rounds = Math.max(1, Math.ceil(used.length / options.batch));
    const chunks = Math.max(1, Math.floor((options.mostBatches ?? Number.POSITIVE_INFINITY) / rounds));
    this.lanes = used
      .map(({ series: one, range }) => {
        const from = Math.max(range.from, range.to - chunks * options.steps);
        return {
          series: one,
          range: { from, to: range.to },
          start: Math.floor(Math.max(0, from - options.warmUp) / options.stride) * options.stride,
        };
      })
      // lanes of similar length share a batch, so that few rows are empty
      .sort((a, b) => b.range.to - b.start - (a.range.to - a.start));
  }

  /** B, rows of a batch, including unused ones. */
  get batchRows(): number {
    return this.options.batch;
  }

  carry(hT: Float32Array): void {
    this.batch.h0.set(hT);
  }

  *batches(): Generator<TrainingBatch> {
    const { options } = this;
    for (let first = 0; first < this.lanes.length; first += options.batch) {
      const lanes = this.lanes.slice(first, first + options.batch);
      const chunks = Math.max(
        ...lanes.map((lane) => Math.ceil((lane.range.to - lane.start) / options.steps)),
      );
      this.batch.h0.fill(0);
      this.rows = lanes.map((lane) => lane.series);
      for (let chunk = 0; chunk < chunks; chunk++) {
        this.batch.weight.fill(0);
        this.batch.target.fill(0);
        if (lanes.length < options.batch) this.batch.x.fill(0);
        lanes.forEach((lane, b) => {
          this.fill(lane, b, lane.start + chunk * options.steps);
        });
        yield this.batch;
      }
    }
  }

  private fill(lane: Lane, b: number, from: number): void {
    const { options, batch } = this;
    copyInputs(batch, options, b, lane.series, from);
    for (let p = 0; p * options.stride < options.steps; p++) {
      const step = from + (p + 1) * options.stride - 1;
      if (step < lane.range.from - 1 || step >= lane.range.to - 1) continue;
      const offset = (p * options.batch + b) * options.leads;
      lane.series.origin(step, batch, offset, this.leads);
      keepInside(batch, lane.range, step, this.leads, offset);
    }
  }
}
