/**
 * The forecasting engine: many streams, one network, one batched run for all that are due. Pure: the caller brings
 * samples and time. A backtest and the daemon run this same code.
 */
import { GatecastError } from '../errors.ts';
import type { Stepper } from '../model/stepper.ts';
import type { ClosedBucket } from '../series/buckets.ts';
import { AHEAD, FEATURE_FORMAT, I } from '../series/features.ts';
import type { Sample } from '../series/sample.ts';
import type { StreamSpec } from '../series/spec.ts';
import { StateReader, StateWriter } from '../series/state-io.ts';
import type { ForecastEngine, PushOutcome, StreamSnapshot, StreamView } from './engine-contract.ts';
import { type Forecast, Q } from './forecast.ts';
import type { Model } from './model.ts';
import { Stream } from './stream.ts';
import type { LeadScore } from './track.ts';

/** Version of everything `Stream.persist` writes; part of the hash that guards a snapshot. */
const STATE_FORMAT = 1;
/** Streams stepped in one run; more are split, so that buffers stay bounded. */
const MAX_BATCH = 512;

interface Batch {
  readonly stepper: Stepper;
  readonly x: Float32Array;
  readonly h: Float32Array;
}

interface Due {
  readonly stream: Stream;
  readonly closed: ClosedBucket[];
  at: number;
}

export class Engine implements ForecastEngine {
  readonly modelHash: string;
  private readonly model: Model | null;
  private readonly byName = new Map<string, Stream>();
  /** By number of leads. */
  private readonly batches = new Map<number, Promise<Batch>>();

  /** @param model null: only the naive forecasters serve */
  constructor(model: Model | null) {
    this.model = model;
    this.modelHash = `${model?.hash ?? 'none'}/${FEATURE_FORMAT}.${STATE_FORMAT}`;
  }

  add(spec: StreamSpec, snapshot?: StreamSnapshot): void {
    const stream = this.make(spec);
    if (snapshot !== undefined) {
      if (snapshot.modelHash !== this.modelHash) {
        throw new GatecastError('STATE_MISMATCH', `The state of ${spec.name} was made by another model.`, {
          hint: 'It is rebuilt from stored samples.',
        });
      }
      const reader = new StateReader(snapshot.bytes);
      stream.persist(reader);
      reader.finish();
    }
    this.byName.set(spec.name, stream);
  }

  private make(spec: StreamSpec): Stream {
    return new Stream(spec, this.model === null ? 0 : this.model.stateRows * this.model.hidden);
  }

  remove(stream: string): void {
    this.byName.delete(stream);
  }

  reset(stream: string): void {
    const known = this.byName.get(stream);
    if (known !== undefined) this.byName.set(stream, this.make(known.spec));
  }

  streams(): readonly StreamView[] {
    return [...this.byName.values()].map((stream) => ({
      spec: stream.spec,
      intervalMs: stream.buckets.intervalMs,
      horizonSteps: stream.leads > 0 ? stream.leads : null,
      bucketsSeen: stream.features?.steps ?? 0,
      lastObservedMs: stream.lastObservedMs,
    }));
  }

  /** Accuracy of what was published for a stream, by lead; empty before the first matched forecast. */
  scores(stream: string): LeadScore[] {
    return this.byName.get(stream)?.scores ?? [];
  }

  push(sample: Sample): PushOutcome {
    return this.byName.get(sample.stream)?.buckets.push(sample) ?? 'unknown-stream';
  }

  async tick(nowMs: number | null, emitEvery = false): Promise<Forecast[]> {
    const due: Due[] = [];
    for (const stream of this.byName.values()) {
      const closed = stream.buckets.close(nowMs);
      if (closed.length > 0 && stream.settle()) due.push({ stream, closed, at: 0 });
    }
    const newest = new Map<string, Forecast>();
    const all: Forecast[] = [];
    let round = due;
    while (round.length > 0) {
      for (const forecast of await this.step(round)) {
        if (emitEvery) all.push(forecast);
        else newest.set(forecast.stream, forecast);
      }
      round = round.filter((one) => one.at < one.closed.length);
    }
    return emitEvery ? all : [...newest.values()];
  }

  /** One bucket of every stream in `round`. */
  private async step(round: Due[]): Promise<Forecast[]> {
    const forecasts: Forecast[] = [];
    const byLeads = new Map<number, Stream[]>();
    for (const one of round) {
      const { stream } = one;
      if (!stream.advance(one.closed[one.at++])) continue;
      if (this.model === null || !stream.warm) {
        forecasts.push(stream.finish(null, 0));
        continue;
      }
      const group = byLeads.get(stream.leads);
      if (group === undefined) byLeads.set(stream.leads, [stream]);
      else group.push(stream);
    }
    for (const [leads, streams] of byLeads) {
      for (let from = 0; from < streams.length; from += MAX_BATCH) {
        await this.run(leads, streams.slice(from, from + MAX_BATCH), forecasts);
      }
    }
    return forecasts;
  }

  private async run(leads: number, streams: Stream[], forecasts: Forecast[]): Promise<void> {
    const { stepper, x, h } = await this.batch(leads, streams.length);
    const n = streams.length;
    const { layers, hidden, inputs } = stepper;
    for (let i = 0; i < n; i++) {
      streams[i].writeInputs(x, i * inputs);
      for (let layer = 0; layer < layers; layer++) {
        h.set(streams[i].h.subarray(layer * hidden, (layer + 1) * hidden), (layer * n + i) * hidden);
      }
    }
    const result = await stepper.run(n, x.subarray(0, n * inputs), h.subarray(0, layers * n * hidden));
    for (let i = 0; i < n; i++) {
      for (let layer = 0; layer < layers; layer++) {
        const from = (layer * n + i) * hidden;
        streams[i].h.set(result.h.subarray(from, from + hidden), layer * hidden);
      }
      forecasts.push(streams[i].finish(result.quantiles, i * leads * Q));
    }
  }

  private async batch(leads: number, n: number): Promise<Batch> {
    const known = this.batches.get(leads);
    if (known !== undefined) {
      const batch = await known;
      if (batch.x.length >= n * batch.stepper.inputs) return batch;
    }
    const model = this.model;
    if (model === null) throw new GatecastError('INTERNAL', 'A step was asked for without a model.');
    const size = Math.min(MAX_BATCH, 2 ** Math.ceil(Math.log2(n)));
    const made = (async (): Promise<Batch> => {
      const stepper = known === undefined ? await model.stepper(leads) : (await known).stepper;
      const inputs = I + leads * AHEAD;
      if (stepper.inputs !== inputs || stepper.leads !== leads) {
        throw new GatecastError(
          'MODEL_INVALID',
          `The step graph takes ${stepper.inputs} inputs for ${stepper.leads} leads; ${inputs} for ${leads} are expected.`,
        );
      }
      return {
        stepper,
        x: new Float32Array(size * inputs),
        h: new Float32Array(size * model.stateRows * model.hidden),
      };
    })();
    this.batches.set(leads, made);
    return made;
  }

  nextDueMs(_nowMs: number): number | null {
    let earliest: number | null = null;
    for (const stream of this.byName.values()) {
      const due = stream.buckets.dueMs();
      if (due !== null && (earliest === null || due < earliest)) earliest = due;
    }
    return earliest;
  }

  snapshot(stream: string): StreamSnapshot | null {
    const known = this.byName.get(stream);
    if (known === undefined || known.buckets.intervalMs === null) return null;
    const writer = new StateWriter();
    known.persist(writer);
    return {
      stream,
      modelHash: this.modelHash,
      replayFromMs: known.buckets.replayFromMs(),
      bytes: writer.finish(),
    };
  }

  /** Frees the sessions. */
  async release(): Promise<void> {
    for (const batch of this.batches.values()) await (await batch).stepper.release();
    this.batches.clear();
  }
}
