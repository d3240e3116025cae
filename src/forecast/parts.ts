/**
 * What steps a stream: features, quality, experts, blend, calibration, anomalies and the recurrent state. The arrays are
 * in one block, so that a stream which waits for its next bucket can be stored as one array of numbers
 * (`parts-pool.ts`) and these objects can serve other streams meanwhile.
 */
import { ArrayBlock } from '../series/array-block.ts';
import type { StreamSpec } from '../series/spec.ts';
import type { StateIo } from '../series/state-io.ts';
import { Anomalies } from './anomalies.ts';
import type { CovariateBook } from './covariate-book.ts';
import { RecentInputs } from './recent-inputs.ts';
import type { Relatives } from './relatives.ts';
import type { Scratch } from './scratch.ts';
import { StreamStep } from './stream-step.ts';

/** Indices in `last`. */
export const [START, VALUE, OBSERVED, LOW] = [0, 1, 2, 3] as const;
const PATH = LOW + 3;

const NO_COVARIATES = (): null => null;

/** Everything that determines the objects and the lengths of their arrays. */
export interface PartsLayout {
  readonly intervalMs: number;
  readonly leads: number;
  /** rows x hidden of the model; 0: no network. */
  readonly stateSize: number;
  /** Past inputs to keep for another model. */
  readonly warmUpSteps: number;
}

/** What the streams of one engine know of each other. */
export interface Neighbours {
  /** Which stream uses which covariates. */
  readonly covariates: CovariateBook;
  /** What streams of one kind tell each other. */
  readonly relatives: Relatives;
}

/** Sizes that a first set of objects has shown; all 0 for that one. */
export interface BlockSize {
  readonly bytes: number;
  /** Numbers that are not in arrays of the block. */
  readonly loose: number;
}

export class StreamParts {
  readonly step: StreamStep;
  readonly anomalies: Anomalies;
  readonly recent: RecentInputs;
  /** [rows, hidden] recurrent state. */
  h: Float32Array;
  /**
   * Start and value of the newest bucket, and the time of the newest accepted reading, ms. Then the newest forecast for
   * the next bucket: p10, p50, p90; NaN if there is none. From PATH on, the medians (relative to the origin) of the forecast
   * made at the last observed bucket, for the `model` fill.
   */
  readonly last: Float64Array;
  readonly memory: ArrayBlock;
  /** Place in the block for the other numbers, while the stream is packed. */
  readonly loose: Float64Array;
  /** The whole block. */
  readonly words: Int32Array;

  /** @param scratch that of the horizon */
  constructor(
    spec: StreamSpec,
    readonly layout: PartsLayout,
    scratch: Scratch,
    { covariates, relatives }: Neighbours,
    size: BlockSize,
  ) {
    const { intervalMs, leads, stateSize, warmUpSteps } = layout;
    const memory = new ArrayBlock(size.bytes);
    this.memory = memory;
    this.anomalies = new Anomalies(memory);
    this.last = memory.float64(PATH + leads).fill(Number.NaN);
    this.last[START] = 0;
    this.step = new StreamStep(
      spec,
      { intervalMs, leads },
      {
        scratch,
        memory,
        path: this.last.subarray(PATH),
        forecasts: {
          network: stateSize > 0,
          // Objects of a stream without covariates serve other engines, too: they must not keep this one's book.
          covariates: spec.covariates?.length ? () => covariates.of(spec, intervalMs, leads) : NO_COVARIATES,
          relatives,
        },
      },
    );
    this.h = memory.float32(stateSize);
    this.recent = new RecentInputs(warmUpSteps, memory);
    this.loose = memory.float64(size.loose);
    this.words = new Int32Array(memory.block);
  }

  /** The learnt part of a saved state. */
  persist(io: StateIo): void {
    const { step } = this;
    step.features.persist(io);
    step.persistQuality(io);
    step.marks = io.number(step.marks);
    this.anomalies.persist(io);
    step.blend?.persist(io);
  }

  /** Everything that the next step needs: also what a restart may lose. */
  pack(io: StateIo): void {
    this.persist(io);
    io.array(this.h);
    io.array(this.last);
    this.recent.pack(io);
    this.step.blend?.track.packTrial(io);
  }
}
