/**
 * Fine-tuning in the running agent: what asks for it (schedule, drift, owner), what it may touch (the engine between two
 * rounds, the slots, the store's file), and what is said of it. The work itself is `training/finetuner.ts`'s.
 */
import type { Config } from '../config/index.ts';
import { GatecastError } from '../errors.ts';
import type { Engine } from '../forecast/engine.ts';
import type { Forecast } from '../forecast/forecast.ts';
import type { Logger } from '../log.ts';
import type { ModelRegistry } from '../model/registry.ts';
import type { ModelSlots } from '../model/slots.ts';
import type { GroupInput } from '../outputs/messages.ts';
import type { SqliteStore } from '../store/sqlite-store.ts';
import type { Clock } from '../system/clock.ts';
import type { Facts } from '../system/facts.ts';
import { startCycle } from '../training/client.ts';
import { CYCLE_DEFAULTS } from '../training/cycle.ts';
import { FineTuner } from '../training/finetuner.ts';
import type { FineTunerParts } from '../training/finetuner-contract.ts';
import { type LiveScore, liveRatios } from '../training/probation.ts';
import type { RunReport } from '../training/run-report.ts';
import { SCHEDULER_DEFAULTS } from '../training/scheduler.ts';
import { ClockHold } from './clock-hold.ts';
import { Cron } from './cron.ts';
import { DriftWatch } from './drift-watch.ts';
import { every } from './every.ts';
import { groupStatus } from './group-status.ts';
import { GROUP } from './groups.ts';
import { type ChosenModel, openModel, prepared } from './model.ts';
import type { Pipeline } from './pipeline.ts';
import { readMemory, type TuningMemory, writeMemory } from './tuning-memory.ts';

export interface TuningParts {
  readonly settings: Config['finetune'];
  /** Of the schedule, an IANA name. */
  readonly timeZone: string;
  /** The config's `model.name`. */
  readonly configured: string;
  /** What the agent started with. */
  readonly chosen: ChosenModel;
  readonly registry: ModelRegistry;
  readonly slots: ModelSlots;
  readonly clock: Clock;
  readonly log: Logger;
  readonly engine: Pick<Engine, 'streams' | 'tables' | 'adopt' | 'networkScores'>;
  readonly pipeline: () => Pick<Pipeline, 'between'>;
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

export class Tuning {
  private readonly tuner: FineTuner;
  private readonly cron: Cron;
  private readonly drift = new DriftWatch();
  private memory: TuningMemory;
  private model: ChosenModel;
  private cancel: () => void = () => {};

  constructor(private readonly parts: TuningParts) {
    const { settings, chosen, registry, slots, clock, store, database } = parts;
    this.model = chosen;
    this.memory = readMemory(store, GROUP);
    this.cron = new Cron(settings.schedule, parts.timeZone);
    this.tuner = new FineTuner({
      group: GROUP,
      configured: parts.configured,
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
      running: () => this.model.name,
      scores: () => this.liveScores(),
      before: () => this.memory.champion,
      report: (report) => this.report(report),
      load: () => this.memory.tuner,
      save: (tuner) => this.remember({ tuner }),
    });
  }

  /** The model that forecasts now. */
  get current(): ChosenModel {
    return this.model;
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

  /** Says all there is to say, as after every change. */
  say(): void {
    this.parts.say(GROUP, this.status());
  }

  status(): GroupInput {
    const { slots, configured } = this.parts;
    return groupStatus(this.model, slots.get(GROUP, configured), this.tuner);
  }

  private look(): void {
    const nowMs = this.parts.clock.now();
    if (this.cron.due(nowMs)) this.tuner.request('schedule');
    this.tuner.tick();
  }

  private barred(): string | null {
    if (!this.parts.settings.enabled) return 'it is switched off in the config';
    return this.model.model === null ? 'no model is loaded' : null;
  }

  private liveScores(): LiveScore[] {
    const { engine } = this.parts;
    return engine
      .streams()
      .flatMap(({ spec: { name } }) => engine.networkScores(name).map((one) => ({ stream: name, ...one })));
  }

  /** The one place where the model changes: between two rounds, with every state made anew from recent inputs. */
  private async switchTo(name: string): Promise<void> {
    const { registry, engine, pipeline, clock, log } = this.parts;
    const chosen = openModel(registry, name);
    const before = liveRatios(this.liveScores());
    const leads = engine.streams().flatMap(({ horizonSteps }) => horizonSteps ?? []);
    const ready = await prepared(chosen.model, leads);
    try {
      const ms = await pipeline().between(async () => {
        const startedMs = clock.monotonic();
        await engine.adopt(ready.model);
        this.model = chosen;
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
