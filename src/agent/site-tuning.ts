/**
 * Fine-tuning of a site's model, and the probation of every model that the site is given. The worker that holds the tuning lease does
 * both. It trains in a process of its own, on streams of some partitions: their settings come from checkpoints, their readings from
 * the logs. A candidate that the gate promotes is put into the object store; when all workers have checked it, the bridges write the
 * switch into the logs. A model on probation is judged by the live scores of streams of all partitions, and replaced by the former one
 * if they are bad.
 */
import { z } from 'zod';
import type { Config } from '../config/index.ts';
import { errorFields, errorText, GatecastError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { ModelRegistry, StoredModel } from '../model/registry.ts';
import { OUT_OF_RANGE } from '../series/quality.ts';
import type { Sample } from '../series/sample.ts';
import type { StreamSpec } from '../series/spec.ts';
import { type LoggedStream, loggedStreams, readHistory } from '../site/history.ts';
import {
  announcedModel,
  type ModelFilesOf,
  type ModelRecord,
  readFiles,
  readRecord,
  removeUnused,
} from '../site/models.ts';
import { tuneSubject } from '../site/names.ts';
import type { Site } from '../site/nats.ts';
import { groupScores } from '../site/scores.ts';
import { type NewModel, setModel, storedModel, workers } from '../site/set-model.ts';
import type { TuneAnswer } from '../site/status.ts';
import { TuningLease } from '../site/tuning-lease.ts';
import { type Clock, isClockSet, pause } from '../system/clock.ts';
import type { Facts } from '../system/facts.ts';
import { type RunningWork, startCycle } from '../training/client.ts';
import type { CycleOptions, CycleReport } from '../training/cycle.ts';
import { History, MOST_STREAMS, shareHistory, shortageOf } from '../training/history.ts';
import type { JobSeries } from '../training/job.ts';
import { judgeGiven, liveRatios, PROBATION_DEFAULTS, type ProbationOptions } from '../training/probation.ts';
import { candidateName, type RecordedTuningInput } from '../training/protocol.ts';
import { ended, NEVER, type RunReport } from '../training/run-report.ts';
import { Scheduler, type Trigger } from '../training/scheduler.ts';
import { TuningRun } from '../training/tuning-run.ts';
import { Cron } from './cron.ts';
import { GROUP } from './groups.ts';
import { checkedSiteModel, newSiteModel } from './site-model.ts';
import { cycleOptions, logRun, schedulerSettings, TRAINER_LIMITS } from './tuning.ts';
import { ratiosSchema, schedulerSchema } from './tuning-memory.ts';

export interface SiteTuningParts {
  readonly site: Site;
  readonly member: string;
  readonly session: string;
  readonly config: () => Pick<Config, 'finetune' | 'timezone'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly registry: ModelRegistry;
  /** The model of the config, which is that of a site before it is given another one. */
  readonly configured: () => string;
  readonly facts: () => Pick<Facts, 'loadPerCore' | 'temperatureC' | 'cores'>;
  /** A worker that is drained gives the lease to another one. */
  readonly isDraining: () => boolean;
  /** Replaced in tests. */
  readonly start?: (input: RecordedTuningInput, options: CycleOptions) => RunningWork<CycleReport>;
  readonly check?: (from: ModelFilesOf) => Promise<StoredModel>;
  readonly probation?: Partial<ProbationOptions>;
  readonly tunedProbationMs?: number;
  readonly lookMs?: number;
}

/** Only what the code relies on: members of the site alone may write it. */
const memorySchema = z.object({
  scheduler: schedulerSchema.nullable(),
  last: z.custom<RunReport>((value) => typeof value === 'object' && value !== null && 'status' in value),
  /** The newest model whose probation was begun, or not needed. */
  seen: z.number(),
  /** `elapsedMs`: how long it was watched, on no wall clock. `before`: live scores of the former model; null: unknown. */
  probation: z
    .object({
      number: z.number(),
      lengthMs: z.number(),
      elapsedMs: z.number(),
      before: ratiosSchema.nullable(),
    })
    .nullable(),
  /** Live scores of the model in use, for the probation of the next one. */
  ratios: z.object({ number: z.number(), values: ratiosSchema }).nullable(),
});

/** What survives the worker that holds the lease. */
type GroupTuning = z.output<typeof memorySchema>;

const FRESH: GroupTuning = { scheduler: null, last: NEVER, seen: 0, probation: null, ratios: null };

/** @returns a fresh state if there is none, or an unreadable one */
const readGroupTuning = (value: unknown): GroupTuning => memorySchema.safeParse(value).data ?? FRESH;

/** Interval of `look`, ms. */
const LOOK_MS = 5000;
/** Calls of `look` between two refreshes of the scores, of the shortage, and of the list of unused files. */
const SCORES_EVERY = 12;
const SHORTAGE_EVERY = 60;
const FILES_EVERY = 720;
/** Files of models that nobody refers to are kept for this long, because a command may be storing a model, ms. */
const UNUSED_MS = 3_600_000;
/** After an error of NATS nothing is tried for this long, ms. */
const PAUSE_MS = 10_000;
/** A model that could not be replaced is tried again after this time, ms. */
const AGAIN_MS = 60_000;
/** Time for all workers to check a model, ms. */
const CHECK_MS = 120_000;
/** Probation of a model that was fine-tuned here, ms. */
const TUNED_PROBATION_MS = PROBATION_DEFAULTS.lengthMs;
/** The history is read for this long at most, then the worker does its other work for three times as long, ms. */
const READ_MS = 10;

export class SiteTuning {
  private readonly lease: TuningLease;
  private memory = FRESH;
  private scheduler: Scheduler | null = null;
  private settings: Config['finetune'];
  private cron: Cron;
  private readonly work: TuningRun<RecordedTuningInput>;
  /** A run from its start to its end. */
  private busy: Promise<void> | null = null;
  private looking: Promise<void> | null = null;
  private looks = 0;
  private lookedMs: number;
  private stopped = false;
  private shortage: string | null = 'the history of the streams is not known yet';
  private waiting = '';
  private againMs = Number.NEGATIVE_INFINITY;
  private lookAgainMs = Number.NEGATIVE_INFINITY;
  /** Runs that were started. */
  private runs = 0;
  private faulty = false;
  private ends: (() => void)[] = [];

  constructor(private readonly parts: SiteTuningParts) {
    const { site, member, session, config, clock } = parts;
    this.lease = new TuningLease(site, member, session);
    this.settings = config().finetune;
    this.cron = new Cron(this.settings.schedule, config().timezone);
    this.lookedMs = clock.monotonic();
    const start = parts.start ?? ((input, how) => startCycle(input, how, TRAINER_LIMITS));
    this.work = new TuningRun({
      nowMs: () => clock.now(),
      start: (input) => start(input, cycleOptions(this.settings)),
      tell: (report) => this.tell(report),
      isOver: () => this.stopped || !this.isHolder,
    });
  }

  get isHolder(): boolean {
    return this.lease.isHeld;
  }

  get state(): GroupTuning {
    return this.memory;
  }

  start(): void {
    const { site, member, log } = this.parts;
    const requests = site.nc.subscribe(tuneSubject(site.name), {
      callback: (error, message) => {
        if (error !== null || !this.isHolder) return;
        void this.request()
          .then((answer) => message.respond(JSON.stringify({ member, ...answer })))
          .catch((error) => log.warn('a request for fine-tuning not answered', { ...errorFields(error) }));
      },
    });
    this.ends.push(() => requests.unsubscribe());
    this.repeat(site.ttlMs / 4, () => this.hold());
    this.repeat(this.parts.lookMs ?? LOOK_MS, () => this.look());
  }

  /** Ends a run; another worker repeats it. */
  async stop(): Promise<void> {
    this.stopped = true;
    for (const end of this.ends.splice(0)) end();
    await this.work.end();
    await this.busy;
    if (!this.isHolder) return;
    await this.lease.release().catch(() => {});
  }

  /** The connection is closed. */
  abandon(): void {
    this.stopped = true;
    for (const end of this.ends.splice(0)) end();
    void this.work.end();
  }

  private repeat(periodMs: number, action: () => Promise<void>): void {
    const { clock } = this.parts;
    const again = (): void => {
      void action().finally(() => {
        if (!this.stopped) cancel = clock.after(periodMs, again);
      });
    };
    let cancel = clock.after(0, again);
    this.ends.push(() => cancel());
  }

  /** Keeps the lease, or takes it when it is free. Never rejects. */
  private async hold(): Promise<void> {
    if (this.stopped) return;
    const { isDraining, log } = this.parts;
    try {
      if (isDraining() || (await this.isLeftToOthers())) {
        if (this.isHolder) await this.leave();
        return;
      }
      const held = this.isHolder;
      // A run from before the lease was lost must not count as one of the next tenure.
      if (!held && this.busy !== null) return;
      if (await this.lease.hold()) {
        if (!held) await this.begin();
      } else if (held) await this.lost();
      this.faulty = false;
    } catch (error) {
      if (this.stopped) return;
      if (!this.faulty) log.warn('fine-tuning of the site not possible', { ...errorFields(error) });
      this.faulty = true;
      await pause(this.parts.clock, PAUSE_MS);
    }
  }

  /** A worker that must not train watches models only if no other worker is there that may train. */
  private async isLeftToOthers(): Promise<boolean> {
    const { site, member, config } = this.parts;
    if (config().finetune.enabled) return false;
    // Only the holder reads what all others announce: else the requests would grow with the square of the workers.
    if (!this.isHolder && (await this.lease.isTaken())) return true;
    return [...(await workers(site))].some(([other, { tunes }]) => other !== member && tunes === true);
  }

  private async begin(): Promise<void> {
    this.memory = readGroupTuning(await this.lease.read());
    this.memory = { ...this.memory, last: ended(this.memory.last) };
    this.scheduler = null;
    this.looks = 0;
    this.lookedMs = this.parts.clock.monotonic();
    this.parts.log.info('this worker fine-tunes the site');
  }

  private async lost(): Promise<void> {
    this.parts.log.warn('another worker fine-tunes the site now');
    await this.work.end('another worker fine-tunes the site now');
  }

  private async leave(): Promise<void> {
    await this.work.end('the worker is drained');
    await this.busy;
    await this.lease.release();
  }

  /** Watches the model and the schedule. Never rejects. */
  private look(): Promise<void> {
    this.looking ??= this.lookOnce().finally(() => {
      this.looking = null;
    });
    return this.looking;
  }

  private async lookOnce(): Promise<void> {
    const { site, log, clock } = this.parts;
    if (this.stopped || !this.isHolder || clock.monotonic() < this.lookAgainMs) return;
    try {
      const { record } = await readRecord(site);
      await this.watchModel(record);
      await this.tune(record);
      if (this.looks % FILES_EVERY === FILES_EVERY - 1) {
        const removed = await removeUnused(site.models, record, clock.now() - UNUSED_MS);
        if (removed.length > 0) log.info('files of unused models removed', { files: removed.length });
      }
      this.looks++;
    } catch (error) {
      if (!this.stopped) log.warn('fine-tuning of the site delayed', { ...errorFields(error) });
      this.waiting = errorText(error);
      this.lookAgainMs = clock.monotonic() + PAUSE_MS;
    }
  }

  private async watchModel(record: ModelRecord | null): Promise<void> {
    const { clock, site, probation: options } = this.parts;
    const nowMs = clock.monotonic();
    // A suspended process must not count as time on probation.
    const sinceMs = Math.min(nowMs - this.lookedMs, 2 * LOOK_MS);
    this.lookedMs = nowMs;
    const { number } = announcedModel(record);
    if (number > this.memory.seen) await this.beginProbation(number, record);
    const { probation } = this.memory;
    if (probation === null || probation.number !== number) {
      if (this.looks % SCORES_EVERY === 0) await this.keepRatios(number);
      return;
    }
    const { scores, inUse } = await groupScores(site, number);
    // The bridges write a new model into the logs: until they do, nobody forecasts with it.
    const elapsedMs = probation.elapsedMs + (inUse ? sinceMs : 0);
    const { lengthMs, before } = probation;
    const verdict = judgeGiven(scores, before, elapsedMs, lengthMs, { ...PROBATION_DEFAULTS, ...options });
    if (verdict.type === 'rollback') return this.goBack(record, verdict.reason);
    const later = { ...probation, elapsedMs };
    if (verdict.type === 'wait') {
      this.memory = { ...this.memory, probation: later };
      if (this.looks % SCORES_EVERY === 0) await this.remember({});
      return;
    }
    const last = { ...this.memory.last, status: 'confirmed', reason: verdict.reason } as const;
    await this.tell(last, { probation: null });
  }

  private async beginProbation(number: number, record: ModelRecord | null): Promise<void> {
    const { ratios: before } = this.memory;
    const lengthMs = record?.number === number ? (record.probationMs ?? 0) : 0;
    const values = before !== null && before.number < number ? before.values : null;
    const probation = lengthMs > 0 ? { number, lengthMs, elapsedMs: 0, before: values } : null;
    await this.remember({ seen: number, probation, ratios: null });
    const { log } = this.parts;
    if (probation !== null)
      log.info('the model of the site is on probation', { model: record?.name, number });
  }

  private async keepRatios(number: number): Promise<void> {
    const { least = PROBATION_DEFAULTS.least } = this.parts.probation ?? {};
    const values = liveRatios((await groupScores(this.parts.site, number)).scores, least);
    if (Object.keys(values).length > 0) await this.remember({ ratios: { number, values } });
  }

  /** Gives the site the model that it had before. */
  private async goBack(record: ModelRecord | null, reason: string): Promise<void> {
    const { clock, log } = this.parts;
    if (record === null || clock.monotonic() < this.againMs) return;
    this.againMs = clock.monotonic() + AGAIN_MS;
    const former = await this.formerModel(record);
    log.error('the model of the site is replaced by the former one', { model: record.name, reason });
    await this.give(former, record.number, { probationMs: 0, reason });
    await this.tell({ ...this.memory.last, status: 'rolled-back', reason }, { probation: null });
  }

  private async formerModel({ former }: ModelRecord): Promise<NewModel> {
    const { site, registry, configured } = this.parts;
    const id = former.at(-1);
    if (id === undefined) return newSiteModel(registry.folderOf(configured()));
    return storedModel(site, id);
  }

  private give(
    model: NewModel,
    after: number,
    why: { readonly probationMs: number; readonly reason: string },
  ): Promise<ModelRecord> {
    const { site, clock } = this.parts;
    return setModel(site, model, {
      timeoutMs: CHECK_MS,
      nowMs: clock.now(),
      wait: async (ms) => {
        await pause(clock, ms);
        // `setModel` then withdraws the model, which no log has yet.
        if (this.stopped || !this.isHolder)
          throw new GatecastError('SITE_FAILED', 'This worker no longer fine-tunes the site.');
      },
      after,
      byBridges: true,
      ...why,
    });
  }

  private get refusal(): string | null {
    return this.settings.enabled ? null : 'fine-tuning is switched off in the config of this worker';
  }

  private async request(): Promise<Omit<TuneAnswer, 'member'>> {
    const refusal = this.refusal ?? (this.busy === null ? null : 'fine-tuning is running');
    if (refusal !== null) return { status: 'refused', reason: refusal };
    const { runs } = this;
    this.schedulerOf().request('request');
    this.shortage = await this.chosenStreams().then(shortageOf, errorText);
    await this.looking;
    await this.look();
    if (this.runs > runs) return { status: 'started', reason: '' };
    if (!this.isHolder) return { status: 'refused', reason: 'another worker fine-tunes the site now' };
    return { status: 'waiting', reason: this.waiting };
  }

  private schedulerOf(): Scheduler {
    const { finetune, timezone } = this.parts.config();
    if (finetune !== this.settings) {
      this.settings = finetune;
      this.cron = new Cron(finetune.schedule, timezone);
      if (this.busy === null) this.scheduler = null;
    }
    // No drift: somewhere in a site, some stream changes all the time.
    const settings = { ...schedulerSettings(finetune), onDrift: false };
    this.scheduler ??= new Scheduler(settings, this.memory.scheduler ?? undefined);
    return this.scheduler;
  }

  /** Starts a run when one is due, and pauses a run while the machine is busy. */
  private async tune(record: ModelRecord | null): Promise<void> {
    const { clock, facts } = this.parts;
    const scheduler = this.schedulerOf();
    if (this.cron.due(clock.now()) && this.settings.enabled) scheduler.request('schedule');
    if (this.looks % SHORTAGE_EVERY === 0 && this.busy === null && this.settings.enabled)
      this.shortage = shortageOf(await this.chosenStreams());
    const { loadPerCore, temperatureC, cores } = facts();
    const before = scheduler.save();
    const action = scheduler.next({
      nowMs: clock.now(),
      monotonicMs: clock.monotonic(),
      clockSane: isClockSet(clock.now()),
      load: this.work.loadOfOthers(loadPerCore, cores),
      temperature: temperatureC,
      shortage: this.refusal ?? (this.memory.probation === null ? this.shortage : 'a model is on probation'),
    });
    this.waiting = action.type === 'none' ? action.reason : '';
    if (action.type === 'start') {
      this.busy = this.run(action.trigger, record);
      this.runs++;
      await this.remember({});
      return;
    }
    if (scheduler.save() !== before) await this.remember({});
    if (action.type !== 'none') await this.work.follow(action);
  }

  /**
   * Streams of as many partitions as are needed. A partition is a random sample of the site, because streams are spread by a hash; the
   * first one is another one each hour.
   */
  private async chosenStreams(): Promise<(LoggedStream & { readonly partition: number })[]> {
    const { site, clock } = this.parts;
    const first = Math.floor(clock.now() / 3_600_000) % site.partitions;
    const found: (LoggedStream & { readonly partition: number })[] = [];
    let own = 0;
    for (let at = 0; at < site.partitions && own < MOST_STREAMS; at++) {
      const partition = (first + at) % site.partitions;
      const streams = await loggedStreams(site, partition);
      own += streams.filter(({ isGuest }) => !isGuest).length;
      found.push(...streams.map((one) => ({ ...one, partition })));
    }
    return found;
  }

  private async run(trigger: Trigger, record: ModelRecord | null): Promise<void> {
    const { clock, log, registry } = this.parts;
    const startedMs = clock.now();
    let name = '';
    const read = async () => {
      const input = await this.input(startedMs, record);
      name = input.name;
      return input;
    };
    const outcome = await this.work.run(trigger, startedMs, read, (_, reason) =>
      this.promote(name, record, reason),
    );
    try {
      if (name !== '') registry.remove(name);
    } catch (error) {
      log.warn('the folder of the candidate not removed', { ...errorFields(error) });
    }
    this.busy = null;
    if (!this.isHolder) return;
    // The next worker repeats a run that this one was told to end.
    if (this.stopped || this.parts.isDraining()) this.scheduler?.cutShort();
    else this.scheduler?.finished(outcome, clock.now());
    await this.remember({}).catch((error) =>
      log.warn('the end of a fine-tuning not noted', { ...errorFields(error) }),
    );
  }

  /** The champion stays in the object store under a number of its own, so that there is a way back. */
  private async promote(name: string, record: ModelRecord | null, reason: string): Promise<void> {
    const { registry, tunedProbationMs: probationMs = TUNED_PROBATION_MS } = this.parts;
    const { number } = announcedModel(record);
    await this.keepRatios(number);
    await this.give(await newSiteModel(registry.folderOf(name)), number, { probationMs, reason });
  }

  private async input(nowMs: number, record: ModelRecord | null): Promise<RecordedTuningInput> {
    const { dataFolder } = this.parts.registry;
    if (dataFolder === null) throw new GatecastError('INTERNAL', 'There is no folder for the model.');
    return {
      group: GROUP,
      ...(await this.history(nowMs)),
      tables: [],
      models: dataFolder,
      champion: await this.champion(record),
      name: candidateName(GROUP, nowMs),
      nowMs,
    };
  }

  private async champion(record: ModelRecord | null): Promise<StoredModel> {
    const { site, registry, configured, check = checkedSiteModel } = this.parts;
    const ref = announcedModel(record);
    return ref.id === '' ? registry.open(configured()) : check(await readFiles(site.models, ref));
  }

  /** The series that a run learns from, and those of the covariates that they name. */
  private async history(nowMs: number): Promise<Pick<RecordedTuningInput, 'series' | 'helpers'>> {
    const all = await this.chosenStreams();
    const mayLearn = all.filter(({ isGuest }) => !isGuest);
    const own = shareHistory(mayLearn, nowMs, this.settings.window);
    const fromMs = Math.min(...own.map((one) => one.fromMs));
    const named = new Set(own.flatMap(({ spec }) => (spec.covariates ?? []).map(({ name }) => name)));
    const others = new Set(own.map(({ spec }) => spec.name));
    const helpers = [...new Map(all.map((one) => [one.spec.name, one])).values()]
      .filter(({ spec }) => named.has(spec.name) && !others.has(spec.name))
      .map((one) => ({ ...one, fromMs }));
    const history = new History([...own, ...helpers], GROUP, nowMs);
    const specs = new Map([...own, ...helpers].map(({ spec }) => [spec.name, spec]));
    const brake = this.brake();
    const read = new Set<string>();
    for (const partition of new Set(all.map((one) => one.partition))) {
      const mine = all.filter((one) => one.partition === partition).map(({ spec }) => spec.name);
      // A covariate is in the logs of all partitions: it is taken from one of them.
      const fresh = new Set(mine.filter((name) => specs.has(name) && !read.has(name)));
      for (const name of fresh) read.add(name);
      if (fresh.size === 0) continue;
      const visit = (sample: Sample): void => {
        const spec = fresh.has(sample.stream) ? specs.get(sample.stream) : undefined;
        if (spec !== undefined) history.push({ ...sample, mark: isOutOfRange(spec, sample.value) });
      };
      await readHistory(this.parts.site, partition, fromMs, visit, brake);
    }
    const series = history.series().map((one) => withQuality(one, specs.get(one.name)));
    return {
      series: series.filter(({ name }) => others.has(name)),
      helpers: series.filter(({ name }) => !others.has(name)),
    };
  }

  private brake(): () => Promise<void> {
    const { clock } = this.parts;
    let fromMs = clock.monotonic();
    return async () => {
      if (clock.monotonic() - fromMs < READ_MS) return;
      await pause(clock, 3 * READ_MS);
      this.work.mayGoOn();
      fromMs = clock.monotonic();
    };
  }

  private async tell(last: RunReport, change: Partial<GroupTuning> = {}): Promise<void> {
    logRun(this.parts.log, 'fine-tuning of the site', last);
    await this.remember({ ...change, last });
  }

  private async remember(change: Partial<GroupTuning>): Promise<void> {
    const scheduler = this.scheduler?.save() ?? this.memory.scheduler;
    this.memory = { ...this.memory, ...change, scheduler };
    if (!this.isHolder) return;
    if (!(await this.lease.write(this.memory))) await this.lost();
  }
}

/** Live, such a reading is marked and not used; the log holds it without a mark. */
const isOutOfRange = ({ min, max }: StreamSpec, value: number): number =>
  (min !== null && value < min) || (max !== null && value > max) ? OUT_OF_RANGE : 0;

/** Live checks are repeated, because the logs hold no marks. */
const withQuality = (series: JobSeries, spec: StreamSpec | undefined): JobSeries => ({
  ...series,
  settings: { ...series.settings, quality: spec?.quality !== false },
});
