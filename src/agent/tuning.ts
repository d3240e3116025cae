/**
 * Fine-tuning in the running agent: what starts it (schedule, drift, owner), what it may touch (the engine between two
 * rounds, the slots, the store's file), and what is published of it. `training/finetuner.ts` does the work.
 */
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { Config } from '../config/index.ts';
import { GatecastError } from '../errors.ts';
import type { Engine } from '../forecast/engine.ts';
import type { Forecast } from '../forecast/forecast.ts';
import type { Logger } from '../log.ts';
import type { GroupSlots } from '../model/slots.ts';
import type { GroupInput } from '../outputs/output.ts';
import type { Outputs } from '../outputs/outputs.ts';
import { DATABASE_FILE, type SqliteStore } from '../store/sqlite-store.ts';
import type { Clock } from '../system/clock.ts';
import type { Facts } from '../system/facts.ts';
import { startCycle } from '../training/client.ts';
import { CYCLE_DEFAULTS } from '../training/cycle.ts';
import { DriftDetector } from '../training/drift.ts';
import { FineTuner } from '../training/finetuner.ts';
import type { FineTunerParts } from '../training/finetuner-contract.ts';
import { type LiveScore, liveRatios } from '../training/probation.ts';
import type { RunReport } from '../training/run-report.ts';
import { SCHEDULER_DEFAULTS } from '../training/scheduler.ts';
import { ClockHold } from './clock-hold.ts';
import { Cron } from './cron.ts';
import { every } from './every.ts';
import { GROUP } from './groups.ts';
import { type AgentModels, type ChosenModel, openModel, prepared } from './model.ts';
import type { Change, Context, Part } from './part.ts';
import type { AgentStreams } from './streams.ts';
import { readMemory, type TuningMemory, writeMemory } from './tuning-memory.ts';

export interface TuningParts {
  readonly settings: Config['finetune'];
  /** Of the schedule, an IANA name. */
  readonly timeZone: string;
  readonly models: AgentModels;
  readonly clock: Clock;
  readonly log: Logger;
  readonly engine: Pick<Engine, 'streams' | 'tables' | 'adopt' | 'networkScores'>;
  readonly between: Context['between'];
  readonly store: Pick<SqliteStore, 'settle' | 'flush' | 'getMeta' | 'setMeta'>;
  /** The store's file. */
  readonly database: string;
  readonly facts: () => Facts;
  /** Another model forecasts: states saved so far are not its own. */
  readonly switched: () => void;
  /** Told of everything that happens. */
  readonly say: (group: string, input: GroupInput) => void;
  /** A test brings its own worker. */
  readonly start?: FineTunerParts['start'];
}

/** What fine-tuning works on. */
export interface TuningSubjects {
  readonly models: AgentModels;
  readonly engine: Engine;
  readonly streams: Pick<AgentStreams, 'checkpoints'>;
  readonly facts: () => Facts;
  readonly outputs: Pick<Outputs, 'group'>;
}

export function createTuning(
  { config, clock, log, between, store }: Context,
  { models, engine, streams, facts, outputs }: TuningSubjects,
): Tuning {
  const { finetune, timezone, data_dir } = config();
  return new Tuning({
    settings: finetune,
    timeZone: timezone,
    models,
    clock,
    log,
    engine,
    between,
    store,
    database: join(data_dir, DATABASE_FILE),
    facts,
    switched: () => streams.checkpoints.renewAll(),
    say: (group, status) => outputs.group(group, status),
  });
}

export interface TuningAnswer {
  /** `waiting`: it begins as soon as the reason is gone. */
  readonly status: 'started' | 'waiting';
  readonly reason: string;
}

/** How often the fine-tuner looks at the machine and the clock, ms. */
const LOOK_MS = 5000;
/** Buckets of all streams together that a run reads: a month of fifty streams at five minutes; bounds its memory. */
const MOST_BUCKETS = 432_000;
/** The worker's heap; features and weights lie outside of it, MB. */
const HEAP_MB = 96;

export class Tuning implements Part {
  readonly name = 'fine-tuning';
  private settings: Config['finetune'];
  private tuner: FineTuner;
  private cron: Cron;
  /** Resolves when the tuner of a former config has ended. */
  private renewed: Promise<void> = Promise.resolve();
  private readonly drift = new DriftWatch();
  private memory: TuningMemory;
  private cancel: () => void = () => {};

  constructor(private readonly parts: TuningParts) {
    this.settings = parts.settings;
    this.memory = readMemory(parts.store, GROUP);
    this.cron = new Cron(this.settings.schedule, parts.timeZone);
    this.tuner = this.makeTuner();
  }

  private makeTuner(): FineTuner {
    const { parts, settings } = this;
    const { models, clock, store, database } = parts;
    const { registry, slots, configured } = models;
    return new FineTuner({
      group: GROUP,
      configured,
      scheduler: {
        ...SCHEDULER_DEFAULTS,
        onDrift: settings.on_drift,
        maxLoad: settings.max_load,
        maxTemperature: settings.max_temperature,
        // Reading, comparing and a slow machine come on top of the training itself.
        mostRunMs: 2 * settings.max_time + SCHEDULER_DEFAULTS.mostRunMs,
      },
      cycle: {
        ...CYCLE_DEFAULTS,
        training: { ...CYCLE_DEFAULTS.training, maxTimeMs: settings.max_time },
      },
      windowMs: settings.window,
      registry,
      slots,
      cores: parts.facts().cores,
      streams: () =>
        parts.engine.streams().map(({ spec, intervalMs, horizonSteps, bucketsSeen }) => ({
          spec,
          intervalMs,
          leads: horizonSteps,
          buckets: bucketsSeen,
        })),
      tables: () => parts.engine.tables(),
      mostBuckets: MOST_BUCKETS,
      database: () => {
        store.settle();
        return database;
      },
      facts: () => {
        const { loadPerCore, temperatureC } = parts.facts();
        const nowMs = clock.now();
        return {
          nowMs,
          monotonicMs: clock.monotonic(),
          clockSane: ClockHold.sane(nowMs),
          load: loadPerCore,
          temperature: temperatureC,
        };
      },
      barred: () => this.barred(),
      start: parts.start ?? ((input, options) => startCycle(input, options, { heapMb: HEAP_MB })),
      switchTo: (name) => this.switchTo(name),
      running: () => models.current.name,
      scores: () => this.liveScores(),
      before: () => this.memory.champion,
      report: (report) => this.report(report),
      load: () => this.memory.tuner,
      save: (tuner) => this.remember({ tuner }),
    });
  }

  get lastRun(): RunReport {
    return this.tuner.lastRun;
  }

  start(): void {
    this.say();
    this.cron.due(this.parts.clock.now());
    this.cancel = every(this.parts.clock, LOOK_MS, () => this.look(), this.parts.log);
  }

  /** Ends what runs; a run that is cut short is made up for after the next start. */
  async stop(): Promise<void> {
    this.cancel();
    await this.tuner.stop();
    await this.renewed;
  }

  prepare({ finetune }: Config): Change | null {
    if (isDeepStrictEqual(finetune, this.settings)) return null;
    const cron = new Cron(finetune.schedule, this.parts.timeZone);
    cron.due(this.parts.clock.now());
    return {
      apply: () => {
        this.settings = finetune;
        this.cron = cron;
        // Not awaited: a run may be waiting for its turn to switch the model, which comes after this change.
        const former = this.tuner.stop();
        this.renewed = this.renewed
          .then(() => former)
          .then(() => {
            this.tuner = this.makeTuner();
            this.say();
          });
      },
    };
  }

  /**
   * An owner wants a fine-tuning now.
   * @throws GatecastError USAGE for an unknown group or where fine-tuning is off, BUSY while one is under way,
   *   NOT_ENOUGH_DATA before there is enough to learn from
   */
  request(group: string): TuningAnswer {
    checkGroup(group);
    const barred = this.barred();
    if (barred !== null) throw new GatecastError('USAGE', `Fine-tuning cannot begin: ${barred}.`);
    if (this.tuner.isBusy)
      throw new GatecastError('BUSY', 'A fine-tuning is under way.', { hint: 'Ask again when it is done.' });
    const shortage = this.tuner.shortage();
    if (shortage !== null)
      throw new GatecastError('NOT_ENOUGH_DATA', `Fine-tuning cannot begin: ${shortage}.`, {
        hint: 'A stream needs some hundred buckets, and nine times its horizon.',
      });
    this.tuner.request('request');
    this.look();
    const reason = this.tuner.waitsFor;
    return this.tuner.isBusy ? { status: 'started', reason: '' } : { status: 'waiting', reason };
  }

  /**
   * An owner wants the model before the present one back. Resolves with its name when it forecasts.
   * @throws GatecastError USAGE for an unknown group, BUSY, MODEL_UNKNOWN without a model before, TRAINING_FAILED when it
   *   cannot be taken up
   */
  async rollback(reason: string, group = GROUP): Promise<string> {
    checkGroup(group);
    return this.tuner.rollback(reason);
  }

  /** Every forecast passes here. */
  observe(forecasts: readonly Forecast[]): void {
    for (const stream of this.drift.changed(forecasts)) {
      this.parts.log.info('drift', { stream });
      this.tuner.request('drift');
    }
  }

  forget(stream: string): void {
    this.drift.forget(stream);
  }

  /** Publishes the status of the group. */
  say(): void {
    this.parts.say(GROUP, this.status());
  }

  status(): GroupInput {
    const { slots, configured, current } = this.parts.models;
    return groupStatus(current, slots.get(GROUP, configured), this.tuner);
  }

  private look(): void {
    const nowMs = this.parts.clock.now();
    if (this.cron.due(nowMs)) this.tuner.request('schedule');
    this.tuner.tick();
  }

  private barred(): string | null {
    if (!this.settings.enabled) return 'it is switched off in the config';
    return this.parts.models.current.model === null ? 'no model is loaded' : null;
  }

  private liveScores(): LiveScore[] {
    const { engine } = this.parts;
    return engine
      .streams()
      .flatMap(({ spec: { name } }) => engine.networkScores(name).map((one) => ({ stream: name, ...one })));
  }

  /** The one place where the model changes: between two rounds, with every state made anew from recent inputs. */
  private async switchTo(name: string): Promise<void> {
    const { models, engine, between, clock, log } = this.parts;
    const chosen = openModel(models.registry, name);
    const before = liveRatios(this.liveScores());
    const leads = engine.streams().flatMap(({ horizonSteps }) => horizonSteps ?? []);
    const ready = await prepared(chosen.model, leads);
    try {
      const ms = await between(async () => {
        const startedMs = clock.monotonic();
        await engine.adopt(ready.model);
        models.current = chosen;
        return clock.monotonic() - startedMs;
      });
      log.info('model switched', { model: name, version: chosen.model.version, ms: Math.round(ms) });
    } finally {
      await ready.release();
    }
    this.remember({ champion: before });
    this.drift.clear();
    this.parts.switched();
  }

  private report(report: RunReport): void {
    const { status, reason, trigger, found } = report;
    const level = status === 'failed' || status === 'rolled-back' ? 'error' : 'info';
    this.parts.log[level]('fine-tuning', {
      status,
      ...(reason !== '' && { reason }),
      ...(trigger !== null && { trigger }),
      ...(found !== null && { streams: found.streams, left_out: found.leftOut, seconds: found.seconds }),
    });
    this.say();
  }

  private remember(change: Partial<TuningMemory>): void {
    this.memory = { ...this.memory, ...change };
    writeMemory(this.parts.store, GROUP, this.memory);
    this.parts.store.flush();
  }
}

function checkGroup(group: string): void {
  if (group !== GROUP)
    throw new GatecastError('USAGE', `There is no model group '${group}'.`, { hint: `Known: ${GROUP}.` });
}

/** What is published of a group of streams: its model, the one before, and what fine-tuning did. */
function groupStatus(
  { name, model, trainedAt }: ChosenModel,
  { previous, probation }: GroupSlots,
  { lastRun, waitsFor }: Pick<FineTuner, 'lastRun' | 'waitsFor'>,
): GroupInput {
  const { status, reason, trigger, startedMs, endedMs, found } = lastRun;
  return {
    champion: model === null ? 'naive' : name,
    version: model?.version ?? '',
    trainedAt,
    previous,
    probationSinceMs: probation?.sinceMs ?? null,
    holdout: found?.losses ?? null,
    lastRun: { status, reason, trigger, startedMs, endedMs, found },
    waitsFor,
  };
}

/** Which streams have changed for good: one detector for each, on the forecast errors in half widths of the interval. */
class DriftWatch {
  private readonly detectors = new Map<string, DriftDetector>();

  /** @returns streams that have just been found to have changed */
  changed(forecasts: readonly Forecast[]): string[] {
    const found: string[] = [];
    for (const { stream, input, observed, expected } of forecasts) {
      // Filled and marked buckets say nothing of the model.
      if (observed === null || expected === null || input.quality !== 'good') continue;
      const halfWidth = (expected.high - expected.low) / 2;
      // A stream that stands still has intervals without width, and no error to speak of.
      if (!(halfWidth > 0)) continue;
      const detector = this.detectors.get(stream) ?? new DriftDetector();
      this.detectors.set(stream, detector);
      if (detector.add(Math.abs(observed - expected.p50) / halfWidth)) found.push(stream);
    }
    return found;
  }

  forget(stream: string): void {
    this.detectors.delete(stream);
  }

  /** Another model forecasts: its errors are others. */
  clear(): void {
    this.detectors.clear();
  }
}
