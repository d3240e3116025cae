/** `gatecast explain`; returns the text to print. */

import { join } from 'node:path';
import { GROUP } from '../../agent/groups.ts';
import { samplesOf } from '../../agent/history.ts';
import { KnownAhead } from '../../agent/known-ahead.ts';
import type { KnownStream } from '../../agent/known-streams.ts';
import { type ChosenModel, chooseModel } from '../../agent/model.ts';
import { seenBy } from '../../agent/past-replay.ts';
import { type ReplayStore, restoreStreams } from '../../agent/restore.ts';
import { type Config, loadConfig } from '../../config/index.ts';
import { GatecastError } from '../../errors.ts';
import { Engine } from '../../forecast/engine.ts';
import type { ForecastExplanation } from '../../forecast/explanation.ts';
import type { Forecast } from '../../forecast/forecast.ts';
import { silentLogger } from '../../log.ts';
import { ModelRegistry } from '../../model/registry.ts';
import { readSlots, slotsInUse } from '../../model/slots.ts';
import { MEDIAN, Q } from '../../quantiles.ts';
import { type Inspection, inspectStore } from '../../store/inspection.ts';
import type { Clock } from '../../system/clock.ts';
import { jsonOrNull } from '../../system/json.ts';
import { noSuchStream, storedStreams } from '../inspect/run.ts';
import { jsonText, printable } from '../shared/output.ts';
import type { Setting } from './explain.ts';
import { explanationText } from './text.ts';

export interface ExplainRequest {
  readonly stream: string;
  /** Path of the config file. */
  readonly config: string;
  readonly set: readonly Setting[];
  readonly json: boolean;
  /** Overrides the config. */
  readonly dataDir?: string | undefined;
  readonly clock: Clock;
}

const DAY_MS = 86_400_000;

/** Of a covariate that counts in the forecast. */
interface CovariateEffect {
  readonly name: string;
  /** [leads of the explanation] medians minus those of the forecast without this covariate. */
  readonly effect: readonly number[];
}

/** The output with `--json`. Times are ISO 8601 UTC; leads are in steps. */
export interface Explained {
  readonly stream: string;
  readonly unit: string | null;
  readonly origin: string;
  readonly step_s: number;
  readonly kind: Forecast['kind'];
  readonly input: string;
  readonly model: { readonly id: string; readonly version: string; readonly hash: string };
  readonly buckets: number;
  /** Limits of the config. */
  readonly limits: { readonly min: number | null; readonly max: number | null };
  readonly range: ForecastExplanation['range'];
  readonly leads: ForecastExplanation['leads'];
  readonly inputs_used: readonly CovariateEffect[];
  /** Medians with the values of --set at the same leads; null without --set. */
  readonly what_if: {
    readonly set: Readonly<Record<string, number>>;
    readonly p50: readonly number[];
  } | null;
}

/**
 * @throws GatecastError STREAM_UNKNOWN; USAGE for a covariate that the stream does not have; NOT_ENOUGH_DATA;
 *   CONFIG_INVALID, FILE_UNREADABLE, STORE_FAILED, STORE_NEWER
 */
export async function explain(request: ExplainRequest): Promise<string> {
  const { stream, json } = request;
  const config = loadConfig(request.config);
  const dir = request.dataDir ?? config.data_dir;
  const store = inspectStore(dir);
  try {
    const streams = storedStreams(store, config);
    const configured = streams.find(({ spec }) => spec.name === stream);
    if (configured === undefined)
      throw noSuchStream(
        stream,
        streams.map(({ spec }) => spec.name),
        dir,
      );
    const model = modelOf(config, dir);
    const all = streams.map((one) => withChosen(one, store, model));
    const own = all[streams.indexOf(configured)];
    const play = (supposed: ReadonlyMap<string, number>, fromMs: number): Promise<Made> =>
      newestForecast(
        { store, config, clock: request.clock, streams: seenBy(own, all), stream, model },
        supposed,
        fromMs,
      );
    const made = await play(new Map(), 0);
    const explained = await withEffects(request, own, model, made, play);
    return json ? jsonText(explained) : printable(explanationText(explained), '\n');
  } finally {
    store.close();
  }
}

interface Made {
  readonly forecast: Forecast;
  readonly explanation: ForecastExplanation;
}

async function withEffects(
  { stream, set }: ExplainRequest,
  { spec }: KnownStream,
  { name, model }: ChosenModel,
  { forecast, explanation }: Made,
  play: (supposed: ReadonlyMap<string, number>, fromMs: number) => Promise<Made>,
): Promise<Explained> {
  const { originMs } = forecast;
  const names = (spec.covariates ?? []).map((one) => one.name);
  const supposed = new Map(set.map(({ covariate, value }) => [covariateOf(covariate, names, stream), value]));
  const medians = (made: Forecast): number[] =>
    explanation.leads.map(({ lead }) => made.quantiles[(lead - 1) * Q + MEDIAN]);
  const now = medians(forecast);
  const effects: CovariateEffect[] = [];
  for (const one of forecast.provenance?.inputsUsed ?? []) {
    const without = medians((await play(new Map([[one, Number.NaN]]), originMs)).forecast);
    effects.push({ name: labelOf(one), effect: now.map((value, i) => value - (without[i] ?? value)) });
  }
  const { min, max } = spec;
  return {
    stream,
    unit: forecast.unit,
    origin: new Date(originMs).toISOString(),
    step_s: forecast.stepMs / 1000,
    kind: forecast.kind,
    input: forecast.input.quality,
    model: { id: model === null ? 'naive' : name, version: model?.version ?? '', hash: model?.hash ?? '' },
    buckets: explanation.buckets,
    limits: { min, max },
    range: explanation.range,
    leads: explanation.leads,
    inputs_used: effects,
    what_if:
      supposed.size === 0
        ? null
        : {
            set: Object.fromEntries([...supposed].map(([one, value]) => [labelOf(one), value])),
            p50: medians((await play(supposed, originMs)).forecast),
          },
  };
}

/** The stream with the covariates that its saved state has chosen (`covariates: auto`). */
function withChosen(stream: KnownStream, store: Inspection, { model }: ChosenModel): KnownStream {
  const { spec } = stream;
  const snapshot = spec.findsCovariates === true ? store.snapshot(spec.name) : null;
  const engine = new Engine(model);
  if (snapshot === null || snapshot.modelHash !== engine.modelHash) return stream;
  engine.add(spec, snapshot);
  return { ...stream, spec: { ...spec, covariates: engine.covariatesOf(spec.name) } };
}

/** The model that the agent runs. */
function modelOf(config: Config, dir: string): ChosenModel {
  const folder = join(dir, 'models');
  const group = slotsInUse(readSlots(join(folder, 'slots.json')).file).find((one) => one.group === GROUP);
  return chooseModel(new ModelRegistry(folder), group?.slots.current ?? config.model.name);
}

interface Play {
  readonly store: Inspection;
  readonly config: Config;
  readonly clock: Clock;
  readonly streams: readonly KnownStream[];
  readonly stream: string;
  readonly model: ChosenModel;
}

/**
 * @param supposed values of covariates from `fromMs` on
 * @throws GatecastError NOT_ENOUGH_DATA
 */
async function newestForecast(
  play: Play,
  supposed: ReadonlyMap<string, number>,
  fromMs: number,
): Promise<Made> {
  // A state that was saved after the newest bucket had closed makes no forecast: then it is made again from the readings.
  const made =
    (await replayed(play, supposed, fromMs, true)) ?? (await replayed(play, supposed, fromMs, false));
  if (made !== null) return made;
  throw new GatecastError('NOT_ENOUGH_DATA', `There is no forecast of ${printable(play.stream)} yet.`, {
    hint: 'The first forecast is made at the end of the first interval; gatecast inspect shows the readings.',
  });
}

async function replayed(
  { store, config, clock, streams, stream, model }: Play,
  supposed: ReadonlyMap<string, number>,
  fromMs: number,
  saved: boolean,
): Promise<Made | null> {
  let newest: Made | null = null;
  const engine = new Engine(model.model, {
    watch: {
      forecast: (forecast) => {
        if (forecast.stream !== stream) return;
        const explanation = engine.explain(stream);
        if (explanation !== null) newest = { forecast, explanation };
      },
    },
  });
  engine.showProvenance(true);
  const tables = new KnownAhead({
    config: () => config,
    engine,
    store: { getMeta: store.getMeta, setMeta: () => {} },
    clock,
    log: silentLogger,
  });
  try {
    await tables.start();
    for (const [name, value] of supposed) engine.suppose(name, value, fromMs);
    await restoreStreams(engine, replayStore(store, streams, saved, clock.now()), streams, clock.now());
    // Closes the bucket of the newest reading, if its time has come; a longer silence is not filled.
    const due = engine.dueMs(stream) ?? Number.POSITIVE_INFINITY;
    await engine.tick(Math.min(clock.now(), due + 1));
    return newest;
  } finally {
    tables.stop();
    await engine.release();
  }
}

/** @param saved false: as if no state had been saved */
function replayStore(
  store: Inspection,
  streams: readonly KnownStream[],
  saved: boolean,
  nowMs: number,
): ReplayStore {
  return {
    // A failure is thrown.
    failedReads: 0,
    loadSnapshot: (stream) => {
      const snapshot = store.snapshot(stream);
      return saved || snapshot === null ? snapshot : { ...snapshot, modelHash: '' };
    },
    samples: (stream, fromMs) => store.samples(stream, fromMs),
    mark: () => {},
    // Nothing else runs meanwhile.
    sliceEnd: () => Number.POSITIVE_INFINITY,
    sliceStart: (beforeMs) => {
      const startMs = Math.min(beforeMs, nowMs) - DAY_MS;
      return streams.some(({ firstMs }) => firstMs < startMs) ? startMs : Number.NEGATIVE_INFINITY;
    },
    since: (fromMs, _, toMs) => samplesOf(store, streams, fromMs, toMs),
  };
}

/** For people: the name of a table lists all settings of its source. */
function labelOf(name: string): string {
  const parts = jsonOrNull(name);
  return Array.isArray(parts) ? `${String(parts[0])} ${String(parts.at(-1))}` : name;
}

/** The covariate with this name, or the only one with this part of a name. @throws GatecastError USAGE */
function covariateOf(given: string, names: readonly string[], stream: string): string {
  const parts = (name: string): string[] => [labelOf(name), ...labelOf(name).split(/[/ ]/)];
  const exact = names.filter((name) => labelOf(name) === given);
  const found = exact.length > 0 ? exact : names.filter((name) => parts(name).includes(given));
  const [one] = found;
  if (one !== undefined && found.length === 1) return one;
  const listed = names.map(labelOf).join(', ');
  throw new GatecastError(
    'USAGE',
    found.length > 1
      ? `${printable(given)} may be any of ${printable(found.map(labelOf).join(', '))}`
      : `${printable(stream)} has no covariate ${printable(given)}`,
    { hint: printable(names.length === 0 ? 'it has none; see docs/covariates.md' : `it has ${listed}`) },
  );
}
