/**
 * The agent's part for fine-tuning: its triggers (schedule, drift, request), its access to the engine (between two rounds), its
 * reload and its published status. `training/group-tuner.ts` runs the training and decides which model is in use.
 */

import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { Config } from '../config/index.ts';
import { errorFields, errorText, GatecastError } from '../errors.ts';
import type { Engine } from '../forecast/engine.ts';
import type { Forecast } from '../forecast/forecast.ts';
import type { Model } from '../forecast/model.ts';
import type { Logger } from '../log.ts';
import type { GroupSlots } from '../model/slots.ts';
import type { GroupInput } from '../outputs/output.ts';
import type { Outputs } from '../outputs/outputs.ts';
import { DATABASE_FILE, type SqliteStore } from '../store/sqlite-store.ts';
import { isClockSet } from '../system/clock.ts';
import type { Facts } from '../system/facts.ts';
import { startCycle } from '../training/client.ts';
import { CYCLE_DEFAULTS, type CycleOptions } from '../training/cycle.ts';
import { DriftDetector } from '../training/drift.ts';
import { GroupTuner, type GroupTunerParts } from '../training/group-tuner.ts';
import type { JobProgress } from '../training/job.ts';
import { judgeGiven, type LiveScore, liveRatios, type ProbationVerdict } from '../training/probation.ts';
import type { RunReport } from '../training/run-report.ts';
import { SCHEDULER_DEFAULTS, type SchedulerSettings } from '../training/scheduler.ts';
import { Cron } from './cron.ts';
import { every } from './every.ts';
import { GROUP } from './groups.ts';
import { type AgentModels, type ChosenModel, openModel, prepared } from './model.ts';
import type { Change, ConfigureOptions, Context, Part } from './part.ts';
import type { AgentStreams } from './streams.ts';
import { type TuningMemory, tuningMemory } from './tuning-memory.ts';

export interface TuningParts extends Pick<Context, 'config' | 'clock' | 'log' | 'between'> {
  readonly store: Pick<SqliteStore, 'settle' | 'flush' | 'getMeta' | 'setMeta' | 'failedReads'>;
  readonly models: AgentModels;
  readonly engine: Pick<Engine, 'streams' | 'streamsInUse' | 'tables' | 'adopt' | 'networkScores'>;
  /** `late`: streams of the previous run that are still to be restored: they are missing from scores and history. */
  readonly streams: {
    readonly checkpoints: Pick<AgentStreams['checkpoints'], 'renewAll'>;
    readonly late: Pick<AgentStreams['late'], 'size'>;
  };
  readonly facts: () => Facts;
  readonly outputs: Pick<Outputs, 'group'>;
  /** Starts the worker; replaced in tests. */
  readonly start?: GroupTunerParts['start'];
}

interface TuningAnswer {
  /** `waiting`: the run starts as soon as the reason is gone. */
  readonly status: 'started' | 'waiting';
  readonly reason: string;
}

const MOST_RUNS = 20;
/** Interval at which the fine-tuner checks the machine and the clock, ms. */
const LOOK_MS = 5000;
/** Limits of the worker, MB: its heap; all of its memory, with the features and weights that are outside of the heap. */
export const TRAINER_LIMITS = { heapMb: 96, memoryMb: 320, niceness: 19 } as const;

export const schedulerSettings = (settings: Config['finetune']): SchedulerSettings => ({
  ...SCHEDULER_DEFAULTS,
  onDrift: settings.on_drift,
  maxLoad: settings.max_load,
  maxTemperature: settings.max_temperature,
  // Allow time for reading, comparing and a slow machine in addition to the training.
  mostRunMs: 2 * settings.max_time + SCHEDULER_DEFAULTS.mostRunMs,
});

export const cycleOptions = ({ max_time: maxTimeMs }: Config['finetune']): CycleOptions => ({
  ...CYCLE_DEFAULTS,
  training: { ...CYCLE_DEFAULTS.training, maxTimeMs },
});

export function logRun(log: Logger, event: string, { status, reason, trigger, found }: RunReport): void {
  log[status === 'failed' || status === 'rolled-back' ? 'error' : 'info'](event, {
    status,
    ...(reason !== '' && { reason }),
    ...(trigger !== null && { trigger }),
    ...(found !== null && { streams: found.streams, left_out: found.leftOut, seconds: found.seconds }),
  });
}

/** Minimum number of forecasts if a stream cannot have more within the probation of a pushed model. */
const FEW_FORECASTS = 3;

export class TuningPart implements Part {
  readonly name = 'fine-tuning';
  private settings: Config['finetune'];
  /** Number of the current tuner: a replaced one must not switch the model any more. */
  private generation = 0;
  /** Why the engine did not adopt the configured model; null if it did. */
  private adoptProblem: string | null = null;
  private tuner: GroupTuner;
  private cron: Cron;
  /** Resolves when the tuner of the previous config has ended. */
  private renewed: Promise<void> = Promise.resolve();
  private readonly drift = new DriftWatch();
  private memory: TuningMemory;
  private readonly kept: ReturnType<typeof tuningMemory>;
  private cancel: () => void = () => {};

  constructor(private readonly parts: TuningParts) {
    const { finetune, timezone } = parts.config();
    this.settings = finetune;
    this.kept = tuningMemory(parts.store, GROUP);
    this.memory = this.kept.read();
    const { live } = this.memory;
    // The model was changed by a restart.
    if (live !== null && live.model !== parts.models.current.name)
      this.remember({ champion: live.ratios, live: null });
    this.cron = new Cron(finetune.schedule, timezone);
    this.tuner = this.makeTuner();
  }

  private makeTuner(): GroupTuner {
    const { parts, settings } = this;
    const { models, clock, store } = parts;
    const { registry, slots, configured } = models;
    const generation = ++this.generation;
    return new GroupTuner({
      group: GROUP,
      configured,
      scheduler: schedulerSettings(settings),
      cycle: cycleOptions(settings),
      windowMs: settings.window,
      registry,
      slots,
      cores: parts.facts().cores,
      streams: () =>
        parts.engine.streamsInUse().map(({ spec, intervalMs, horizonSteps, bucketsSeen }) => ({
          spec,
          intervalMs,
          leads: horizonSteps,
          buckets: bucketsSeen,
        })),
      tables: () => parts.engine.tables(),
      database: () => {
        store.settle();
        return join(parts.config().data_dir, DATABASE_FILE);
      },
      facts: () => {
        const { loadPerCore, temperatureC } = parts.facts();
        const nowMs = clock.now();
        return {
          nowMs,
          monotonicMs: clock.monotonic(),
          clockSane: isClockSet(nowMs),
          load: loadPerCore,
          temperature: temperatureC,
        };
      },
      barred: () => this.barred(),
      start:
        parts.start ??
        ((input, options, onProgress) => startCycle(input, options, { ...TRAINER_LIMITS, onProgress })),
      switchTo: (name) => this.switchTo(name, generation),
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

  /** Progress of the current run; null: none is running, or it is reading its data. */
  get progress(): JobProgress | null {
    return this.tuner.runProgress;
  }

  /** Probation of a fine-tuned model in use; null: it is not on probation. */
  get probation(): GroupTuner['probation'] {
    return this.tuner.probation;
  }

  /** Finished runs, oldest first. */
  get runs(): readonly RunReport[] {
    return this.memory.runs;
  }

  start(): void {
    this.publishStatus();
    this.cron.due(this.parts.clock.now());
    this.cancel = every(this.parts.clock, LOOK_MS, () => this.look(), this.parts.log);
  }

  /** Stops a running fine-tuning; an interrupted run is repeated after the next start. */
  async stop(): Promise<void> {
    this.cancel();
    await this.tuner.stop('the agent stopped during the run');
    await this.renewed;
    this.keepScores();
  }

  /** Loads the graphs of the next model in advance, so that the switch itself is short. */
  async prepare(
    { finetune, model }: Config,
    _running?: Config,
    { dryRun = false }: ConfigureOptions = {},
  ): Promise<Change | null> {
    const { models, config, clock } = this.parts;
    if (isDeepStrictEqual(finetune, this.settings) && model.name === models.configured) return null;
    if (model.name !== models.configured && !dryRun) this.mustBeRestored('model.name');
    const cron = new Cron(finetune.schedule, config().timezone);
    cron.due(clock.now());
    const next = model.name === models.configured ? null : await this.prepareModel(model.name, dryRun);
    return {
      apply: () => {
        this.settings = finetune;
        this.cron = cron;
        models.configured = model.name;
        this.generation += 1;
        // Not awaited, because a run may be waiting to switch the model, which happens only after this change.
        const former = this.tuner.stop('the config changed during the run');
        this.renewed = this.renewed
          .then(() => former)
          .then(() => {
            this.tuner = this.makeTuner();
            this.publishStatus();
          });
      },
      ...(next !== null && { settle: () => this.takeUp(next), discard: () => next.release() }),
    };
  }

  private async prepareModel(name: string, dryRun: boolean): Promise<NextModel> {
    const { registry, slots } = this.parts.models;
    try {
      const chosen = openModel(registry, slots.get(GROUP, name).current);
      const { model, release } = await prepared(chosen.model, dryRun ? [] : this.leads());
      return { chosen: { ...chosen, model }, release };
    } catch (cause) {
      if (!(cause instanceof GatecastError)) throw cause;
      throw new GatecastError(cause.code, cause.message, {
        hint: cause.hint,
        issues: [{ path: 'model.name', message: cause.message }],
        cause,
      });
    }
  }

  /** Switches to a changed configured model. Call between two rounds. */
  private async takeUp({ chosen, release }: NextModel): Promise<void> {
    const { engine, log, models } = this.parts;
    const before = liveRatios(this.liveScores(), FEW_FORECASTS);
    this.adoptProblem = null;
    try {
      models.slots.use(GROUP, models.configured, models.keep());
      await engine.adopt(chosen.model);
      models.current = chosen;
      log.info('model switched', { model: chosen.name, version: chosen.model.version });
      this.remember({ champion: before });
    } catch (error) {
      this.adoptProblem = errorText(error);
      log.error('model not switched', { model: chosen.name, reason: this.adoptProblem });
    } finally {
      await release();
    }
    this.drift.clear();
    this.parts.streams.checkpoints.renewAll();
    this.publishStatus();
  }

  private leads(): number[] {
    return this.parts.engine.streams().flatMap(({ horizonSteps }) => horizonSteps ?? []);
  }

  /** Why the engine does not run the configured model; null if it does. */
  get problem(): string | null {
    return this.adoptProblem ?? this.parts.models.current.problem;
  }

  /** Live score of a pushed model compared with the naives and the previous model. */
  judge(elapsedMs: number, lengthMs: number): ProbationVerdict {
    return judgeGiven(this.liveScores(), this.memory.champion, elapsedMs, lengthMs);
  }

  /**
   * Starts a fine-tuning that the owner has requested.
   * @throws GatecastError USAGE for an unknown group or if fine-tuning is disabled, BUSY while one is running,
   *   NOT_ENOUGH_DATA before there is enough to learn from
   */
  request(group: string): TuningAnswer {
    checkGroup(group);
    const barred = this.barred();
    if (barred !== null) throw new GatecastError('USAGE', `Fine-tuning cannot begin: ${barred}.`);
    if (this.tuner.isBusy)
      throw new GatecastError('BUSY', 'Fine-tuning is running.', {
        hint: 'Repeat the request when it has finished.',
      });
    this.mustBeRestored();
    const shortage = this.tuner.shortage();
    if (shortage !== null)
      throw new GatecastError('NOT_ENOUGH_DATA', `Fine-tuning cannot begin: ${shortage}.`, {
        hint: 'A stream needs some hundred buckets, and at least nine times its horizon.',
      });
    this.tuner.request('request');
    this.look();
    const reason = this.tuner.waitsFor;
    return this.tuner.isBusy ? { status: 'started', reason: '' } : { status: 'waiting', reason };
  }

  /**
   * Returns to the previous model at the owner's request. Resolves with its name when it is in use.
   * @throws GatecastError USAGE for an unknown group, BUSY, MODEL_UNKNOWN without a model before, TRAINING_FAILED when it
   *   cannot be taken up
   */
  async rollback(reason: string, group = GROUP): Promise<string> {
    checkGroup(group);
    this.mustBeRestored();
    return this.tuner.rollback(reason);
  }

  /**
   * A saved state fits one model only, so the model must not change before all states are read.
   * @param path the changed key of the config, if a change of the config asks for it
   */
  private mustBeRestored(path?: string): void {
    if (this.parts.streams.late.size === 0) return;
    const message = 'The streams of the previous run are being restored.';
    throw new GatecastError('BUSY', message, {
      hint: 'Repeat the request in a minute.',
      ...(path !== undefined && { issues: [{ path, message }] }),
    });
  }

  /** Call with every forecast. */
  observe(forecasts: readonly Forecast[]): void {
    for (const stream of this.drift.changed(forecasts)) {
      this.parts.log.info('drift', { stream });
      this.tuner.request('drift');
    }
  }

  forget(stream: string): void {
    this.drift.forget(stream);
  }

  publishStatus(): void {
    this.parts.outputs.group(GROUP, this.status());
  }

  status(): GroupInput {
    const { slots, configured, current } = this.parts.models;
    return groupStatus(current, slots.get(GROUP, configured), this.tuner);
  }

  private look(): void {
    const nowMs = this.parts.clock.now();
    if (this.cron.due(nowMs)) this.tuner.request('schedule');
    if (this.parts.streams.late.size === 0) this.tuner.tick();
  }

  private barred(): string | null {
    if (!this.settings.enabled) return 'fine-tuning is switched off in the config';
    if (this.parts.models.pushOnTrial()) return 'a pushed model is on probation';
    return this.parts.models.current.model === null ? 'no model is loaded' : null;
  }

  private liveScores(): LiveScore[] {
    const { engine } = this.parts;
    return engine
      .streams()
      .flatMap(({ spec: { name } }) => engine.networkScores(name).map((one) => ({ stream: name, ...one })));
  }

  /** Switches to a fine-tuned model between two rounds; every state is computed again from recent inputs. */
  private async switchTo(name: string, generation: number): Promise<void> {
    const { models, engine, between, clock, log } = this.parts;
    const chosen = openModel(models.registry, name);
    const before = liveRatios(this.liveScores());
    const ready = await prepared(chosen.model, this.leads());
    try {
      const ms = await between(async () => {
        if (generation !== this.generation)
          throw new GatecastError('BUSY', 'The config changed meanwhile.', { hint: 'Repeat the request.' });
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
    this.parts.streams.checkpoints.renewAll();
  }

  private report(report: RunReport): void {
    logRun(this.parts.log, 'fine-tuning', report);
    this.keepRun(report);
    this.publishStatus();
  }

  /** Stores a run report; a run that changes its status, such as promoted and then confirmed, stays one entry. */
  private keepRun(report: RunReport): void {
    if (report.status === 'never' || report.status === 'running' || report.status === 'paused') return;
    const others = this.memory.runs.filter(({ startedMs }) => startedMs !== report.startedMs);
    this.remember({ runs: [...others, report].slice(-MOST_RUNS) });
  }

  /** Stores the live scores for a later start with another model. */
  private keepScores(): void {
    try {
      this.remember({
        live: { model: this.parts.models.current.name, ratios: liveRatios(this.liveScores()) },
      });
    } catch (error) {
      this.parts.log.warn('live scores not kept', { ...errorFields(error) });
    }
  }

  private remember(change: Partial<TuningMemory>): void {
    this.memory = { ...this.memory, ...change };
    this.memory = this.kept.save(this.memory) ?? this.memory;
    this.parts.store.flush();
  }
}

interface NextModel {
  readonly chosen: ChosenModel & { readonly model: Model };
  /** Releases prepared sessions that are not used. */
  readonly release: () => Promise<void>;
}

function checkGroup(group: string): void {
  if (group !== GROUP)
    throw new GatecastError('USAGE', `There is no model group '${group}'.`, { hint: `Known: ${GROUP}.` });
}

/** The published status of a group of streams: its model, the previous one, and the last fine-tuning run. */
function groupStatus(
  { name, model, trainedAt }: ChosenModel,
  { previous, probation }: GroupSlots,
  { lastRun, waitsFor }: Pick<GroupTuner, 'lastRun' | 'waitsFor'>,
): GroupInput {
  return {
    champion: model === null ? 'naive' : name,
    version: model?.version ?? '',
    trainedAt,
    previous,
    probationSinceMs: probation?.sinceMs ?? null,
    holdout: lastRun.found?.losses ?? null,
    lastRun,
    waitsFor,
  };
}

/** Detects lasting changes of streams: one detector per stream, on the forecast errors in half widths of the interval. */
class DriftWatch {
  private readonly detectors = new Map<string, DriftDetector>();

  /** @returns streams with a newly detected change */
  changed(forecasts: readonly Forecast[]): string[] {
    const found: string[] = [];
    for (const { stream, input, observed, expected } of forecasts) {
      // Filled and marked buckets tell nothing about the model.
      if (observed === null || expected === null || input.quality !== 'good') continue;
      const halfWidth = (expected.high - expected.low) / 2;
      // A constant stream has intervals without width.
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

  /** Resets the detectors after a model switch, because the errors of another model differ. */
  clear(): void {
    this.detectors.clear();
  }
}
