/**
 * Handles pushes: checks them (`admission.ts`), merges a batch into a candidate (`candidate.ts`), applies it through the agent's
 * `configure`, watches its probation (`probation.ts`), and reports. A push with a model first waits for it (`model-wait.ts`). The
 * agent (`Host`) and the clock are passed in, so that tests need neither.
 */
import { type Config, ruleIds } from '../config/index.ts';
import { errorFields, errorText } from '../errors.ts';
import type { Logger } from '../log.ts';
import { type Clock, pause } from '../system/clock.ts';
import { RateLimitedLog } from '../system/rate-limited-log.ts';
import { type AcceptedPush, Admission } from './admission.ts';
import { ConfigCandidates } from './candidate.ts';
import type { LayerName, Needs, Problem, Reported } from './contract.ts';
import type { KeySet } from './keys.ts';
import type { Effective, LocalFile } from './layers.ts';
import type { Models } from './model-intake.ts';
import { ENDED_READING, ModelWait } from './model-wait.ts';
import {
  type AgentVitals,
  baselineOf,
  judge,
  type ModelVerdict,
  type Trial,
  trialAfterRestart,
  trialOf,
} from './probation.ts';
import type { NewPush, PushLifecycle, Rejected } from './push-lifecycle.ts';
import { PushQueue, type QueuedMessage } from './push-queue.ts';
import { ReportSender } from './report-sender.ts';
import { checkTimes, problem, problemsText, type Refusal, type Times } from './verify.ts';

/** Result of a config change. */
interface Applied {
  readonly errors: readonly { readonly path: string; readonly message: string; readonly hint?: string }[];
  readonly reconnect: readonly string[];
  readonly restart: readonly string[];
  /** The agent is stopping: nothing was applied, and the errors say nothing of the config. */
  readonly stopping?: boolean;
}

/** Interface of remote config to the agent. */
interface Host {
  /** Applies `wanted` as far as possible without a restart, or refuses it and changes nothing. Never rejects. */
  configure(
    wanted: Config,
    /** `connect`: test a changed broker or credential on a second connection. */
    options: { readonly dryRun: boolean; readonly connect: boolean; readonly onTrial?: boolean },
  ): Promise<Applied>;
  /** The probation is over, or the config before it runs again. */
  trialEnded(): void;
  /** Restarts the agent, which then calls `PushLifecycle.recover`. */
  restart(reason: string): void;
  vitals(): AgentVitals;
  /** Whether streams of the previous run are still to be restored. `vitals` does not know these. */
  restoring(): boolean;
  clockIsSet(): boolean;
  report(reported: Reported, retain: boolean): void;
  /** Verdict on the pushed model after `elapsedMs`; final after three times the length. */
  judgeModel(elapsedMs: number, lengthMs: number): ModelVerdict;
}

interface RemoteConfigParts {
  readonly life: PushLifecycle;
  readonly clock: Clock;
  readonly log: Logger;
  readonly host: Host;
  readonly file: () => LocalFile;
  /** Keys that only the local file sets. */
  readonly local: Pick<Config, 'node' | 'base' | 'remote_config'>;
  readonly keys: KeySet;
  readonly models: Models;
}

/** Minimum time between changes and stored refusals, ms; pushes that arrive meanwhile are handled together. */
const CHANGE_EVERY_MS = 1000;
/** Interval of the checks of probation and of waiting pushes, ms. */
const LOOK_MS = 500;
const MOST_TRIED = 64;

export class RemoteConfig {
  private readonly queue: PushQueue;
  private readonly admission: Admission;
  private readonly candidates: ConfigCandidates;
  private readonly reports: ReportSender;
  private readonly wait: ModelWait;
  private working: Promise<void> | null = null;
  private trial: Trial | null = null;
  /** By layer: authentic messages whose times do not match the gateway's clock, which may be wrong. */
  private readonly untimely = new Map<
    LayerName,
    { readonly message: QueuedMessage; readonly times: Times }
  >();
  /** Digests of the last answered dry runs. */
  private tried: readonly string[] = [];
  /** Limits the rate of warnings about messages that anyone can send. */
  private readonly warnings: RateLimitedLog;
  private lastChangeMs = Number.NEGATIVE_INFINITY;
  /** The agent is applying or rolling back a push. */
  private changing = false;
  private stopped = false;
  private cancelLook: () => void = () => {};

  constructor(private readonly parts: RemoteConfigParts) {
    const { life, clock, log, host, models } = parts;
    this.warnings = new RateLimitedLog(clock);
    this.queue = new PushQueue(() => life.drop());
    this.admission = new Admission(parts);
    this.candidates = new ConfigCandidates(parts);
    this.wait = new ModelWait({
      life,
      models,
      candidates: this.candidates,
      clock,
      log,
      refuse: (...refused) => this.refuse(...refused),
      cannotNow: (push, reason) => this.cannotNow(push, reason),
      cannotStore: (push, error) => this.cannotStore(push, error),
      report: () => this.report(),
      wake: () => this.work(),
    });
    this.reports = new ReportSender(clock, () => {
      const transfer = models.progress();
      host.report({ ...life.reported(), ...(transfer !== null && { transfer }) }, true);
    });
  }

  /** @param running hash of the config that the agent was started with */
  start(running: string): void {
    const { life } = this.parts;
    life.runs(running);
    if (life.onTrial) this.beginProbation();
    this.wait.start();
    this.report();
    this.look();
  }

  async stop(): Promise<void> {
    this.stopped = true;
    this.reports.stop();
    this.cancelLook();
    await this.parts.models.stop();
    await this.working;
  }

  /** Publishes the report again, for example on a new connection. */
  report(): void {
    this.reports.request();
  }

  /** Queues a message of a desired topic. @param twice the broker may deliver each message twice */
  receive(layer: LayerName, payload: Uint8Array, mayRepeat: boolean, twice = false): void {
    if (this.stopped) return;
    this.queue.add(layer, payload, mayRepeat, twice ? this.parts.clock.monotonic() : undefined);
    this.work();
  }

  /** Resolves when all received messages are handled. */
  async settled(): Promise<void> {
    while (this.working !== null) await this.working;
  }

  /** A config was applied by other means, such as `reload`. */
  runs(hash: string): void {
    // the hash of a push is set together with its state
    if (this.changing) return;
    this.parts.life.runs(hash);
    this.report();
  }

  private work(): void {
    if (this.working !== null || this.stopped) return;
    void this.run(
      this.loop().catch((error: unknown) =>
        this.parts.log.error('remote config failed', { ...errorFields(error) }),
      ),
    );
  }

  private run(work: Promise<void>): Promise<void> {
    this.working = work.finally(() => {
      this.working = null;
      if (!this.queue.empty || this.wait.arrived) this.work();
    });
    return this.working;
  }

  private async loop(): Promise<void> {
    while ((!this.queue.empty || this.wait.arrived) && !this.stopped) {
      const waitMs = this.lastChangeMs + CHANGE_EVERY_MS - this.parts.clock.monotonic();
      if (waitMs > 0) await pause(this.parts.clock, waitMs);
      // A probation compares with the streams from before the change.
      while (this.parts.host.restoring() && !this.stopped) await pause(this.parts.clock, LOOK_MS);
      if (this.parts.host.restoring()) return;
      const waited = this.wait.arrived ? this.wait.takeUp() : null;
      if (waited !== null) await this.handle([waited]);
      const batch = this.queue.takeAll();
      const taken: AcceptedPush[] = [];
      for (const message of batch) {
        const one = await this.take(message, taken);
        if (one !== null) taken.push(one);
      }
      await this.handleAll(taken);
    }
  }

  /** Applies pushes of a batch together, except those whose model has not arrived. */
  private async handleAll(batch: readonly AcceptedPush[]): Promise<void> {
    let ready: AcceptedPush[] = [];
    for (const taken of batch) {
      const { model } = taken.content;
      if (model === undefined || this.parts.models.isHere(model)) ready.push(taken);
      else {
        if (ready.length > 0) await this.handle(ready);
        ready = [];
        await this.wait.expect(taken, model);
      }
    }
    if (ready.length > 0) await this.handle(ready);
  }

  /** Returns the push to apply, or null. @param before earlier pushes of the same batch */
  private async take(message: QueuedMessage, before: readonly AcceptedPush[]): Promise<AcceptedPush | null> {
    const { life, log } = this.parts;
    const admitted = await this.admission.admit(message, before);
    if (message.bytes === 0) {
      this.untimely.delete(message.layer);
      this.wait.withdraw(message.layer);
    }
    switch (admitted.type) {
      case 'push':
        return admitted.taken;
      case 'dry-run':
        await this.tryOut(admitted.taken);
        return null;
      case 'refused': {
        const { layer, refusal, waits } = admitted;
        if (waits !== null) this.untimely.set(layer, { message, times: waits });
        life.turnAway(layer, refusal);
        const { code, problems } = refusal;
        this.warnings.say(`${layer} ${code}`, (omitted) =>
          log.warn('push refused', { layer, code, reason: problemsText(problems), omitted }),
        );
        break;
      }
      case 'harmful':
        this.refuse(admitted.push, 500, [problem('', ENDED_READING)], null);
        return null;
      case 'nothing':
        return null;
      case 'repeated':
        break;
    }
    this.report();
    return null;
  }

  private async tryOut(taken: AcceptedPush): Promise<void> {
    const { life, host } = this.parts;
    const answer = (
      code: Refusal['code'],
      problems: readonly Problem[],
      hash: string | null = null,
      needs: Needs | null = null,
    ) => host.report(life.answer(taken.push, code, problems, hash, needs), false);
    // A dry run does not use up its version, so anyone could repeat it: answer each one once.
    const { digest } = taken.push;
    if (this.tried.includes(digest))
      return answer(409, [problem('', 'is a dry run that was answered before', 'sign another one')]);
    this.tried = [...this.tried, digest].slice(-MOST_TRIED);
    const folded = this.candidates.fold(life.running(), taken);
    if ('code' in folded) return answer(folded.code, folded.problems);
    const evaluated = this.candidates.evaluate(folded.layers);
    if ('problems' in evaluated) return answer(400, evaluated.problems);
    const { model } = taken.content;
    const refused = model === undefined ? null : this.parts.models.refusal(model);
    if (refused !== null) return answer(refused.code, [refused.problem], evaluated.hash);
    const running = this.candidates.evaluate(life.running());
    const isHere = model === undefined || this.parts.models.isHere(model);
    // a model that has not arrived cannot be loaded; validates the rest of the config
    const tried =
      isHere || 'problems' in running
        ? evaluated.config
        : { ...evaluated.config, model: running.config.model };
    const { errors, ...diff } = await host.configure(tried, { dryRun: true, connect: false });
    answer(errors.length > 0 ? 400 : 200, hostProblems(errors), evaluated.hash, needsOf(diff));
  }

  private async handle(batch: readonly AcceptedPush[]): Promise<void> {
    const { life, log } = this.parts;
    const newest = batch.at(-1);
    if (newest === undefined) return;
    // also set for refused pushes, so that they cannot wear out flash
    this.lastChangeMs = this.parts.clock.monotonic();
    try {
      life.receive(newest.push);
    } catch (error) {
      return this.cannotStore(newest.push, error);
    }
    const { candidate, rejected } = await this.candidates.choose(batch, life.running());
    this.refuseAll(rejected);
    if (candidate === null) return;
    const { taken, effective, layers, superseded } = candidate;
    const { push } = taken;
    try {
      const { host } = this.parts;
      // a refusal ended the phase `received`
      if (rejected.length > 0) life.receive(push);
      const tried = await host.configure(effective.config, { dryRun: true, connect: false });
      if (tried.errors.length > 0) return this.refuse(push, 400, hostProblems(tried.errors), effective.hash);
      const needs = needsOf(tried);
      if (tried.reconnect.length > 0) {
        // tests the new broker once, so that neither applying nor rolling back waits for it
        const proven = await host.configure(effective.config, { dryRun: true, connect: true });
        if (proven.errors.length > 0)
          return this.refuse(push, 500, hostProblems(proven.errors), effective.hash);
      }
      this.wait.refuseWaiting([...superseded, push]);
      life.verified(push, superseded, keptBy(taken), {
        attemptedHash: effective.hash,
        needs,
        probationMs: taken.probationMs,
        baseline: baselineOf(host.vitals(), this.ruleGone(effective), this.parts.clock.monotonic()),
      });
      life.stage(layers);
      this.trial = null;
      log.info('push applying', { layer: push.layer, version: push.version, kid: push.kid, needs });
      life.applying();
      this.report();
    } catch (error) {
      return this.cannotStore(push, error);
    }
    this.lastChangeMs = this.parts.clock.monotonic();
    this.wait.tidy();
    await this.apply(effective, life.push?.needs ?? 'hot');
  }

  private async change(config: Config, onTrial: boolean): Promise<Applied> {
    this.changing = true;
    try {
      return await this.parts.host.configure(config, { dryRun: false, connect: false, onTrial });
    } finally {
      this.changing = false;
    }
  }

  private async apply(effective: Effective, needs: Needs): Promise<void> {
    const { life, host } = this.parts;
    if (needs === 'restart') return host.restart('a remote config needs it');
    const before = host.vitals();
    const { errors, stopping } = await this.change(effective.config, true);
    // The next start uses the new config.
    if (stopping) return;
    if (errors.length > 0) return this.goBack(hostProblems(errors));
    life.runs(effective.hash);
    this.beginProbation(before);
    this.report();
  }

  /** Whether `wanted` removes a running rule. */
  private ruleGone(wanted: Effective): boolean {
    const running = this.candidates.evaluate(this.parts.life.running());
    const ids = ruleIds(wanted.config.streams);
    return !('problems' in running) && ruleIds(running.config.streams).some((id) => !ids.includes(id));
  }

  /** @param before omitted after a restart, which uses the saved state */
  private beginProbation(before?: AgentVitals): void {
    const { life, clock, host } = this.parts;
    const { probationMs = 0, baseline = null } = life.push ?? {};
    if (life.phase === 'applying') life.probation();
    const sinceMs = clock.monotonic();
    const about = { sinceMs, lengthMs: probationMs, otherModel: life.modelOnTrial() };
    this.trial =
      before === undefined
        ? trialAfterRestart(baseline, host.vitals(), about)
        : trialOf(before, baseline?.ruleGone ?? false, about);
  }

  private look(): void {
    if (this.stopped) return;
    this.cancelLook = this.parts.clock.after(LOOK_MS, () => {
      this.watch()
        .catch((error: unknown) =>
          this.warnings.say('watch', (omitted) =>
            this.parts.log.error('remote config failed', { ...errorFields(error), omitted }),
          ),
        )
        .finally(() => this.look());
    });
  }

  private async watch(): Promise<void> {
    const { life, clock, host, log } = this.parts;
    if (host.clockIsSet())
      for (const [layer, { message, times }] of this.untimely) {
        if (checkTimes(times, clock.now()) !== null) continue;
        this.untimely.delete(layer);
        this.receive(layer, message.payload, message.mayRepeat);
      }
    this.wait.watch(this.working === null);
    if (this.trial === null || this.working !== null) return;
    const nowMs = clock.monotonic();
    const { otherModel, sinceMs, lengthMs } = this.trial;
    const model = otherModel ? host.judgeModel(nowMs - sinceMs, lengthMs) : undefined;
    const verdict = judge(this.trial, host.vitals(), nowMs, model);
    this.trial = verdict.trial;
    if (verdict.failed !== null) {
      await this.run(this.goBack([problem('', verdict.failed)]));
    } else if (verdict.passed) {
      life.commit(verdict.notes);
      this.trial = null;
      host.trialEnded();
      log.info('push committed', { version: life.push?.version ?? null });
      this.wait.tidy();
      this.report();
    }
  }

  /** Rolls back to the last committed config. */
  private async goBack(problems: readonly Problem[]): Promise<void> {
    const { life, host, log } = this.parts;
    this.trial = null;
    log.error('push rolled back', { version: life.push?.version ?? null, reason: problemsText(problems) });
    const { needs } = life.push ?? { needs: 'restart' };
    life.rollBack(problems);
    const { layers } = life.current();
    const target = this.candidates.evaluate(layers);
    if (needs === 'restart' || 'problems' in target) return host.restart('a remote config is rolled back');
    const { errors, restart, stopping } = await this.change(target.config, false);
    // The next start rolls back.
    if (stopping) return;
    if (errors.length > 0 || restart.length > 0) return host.restart('a remote config is rolled back');
    host.trialEnded();
    life.rolledBack();
    life.runs(target.hash);
    this.wait.tidy();
    this.report();
  }

  private refuse(
    push: NewPush,
    code: Refusal['code'],
    problems: readonly Problem[],
    attempted: string | null,
  ): void {
    this.refuseAll([{ push, code, problems }], attempted);
  }

  private refuseAll(rejected: readonly Rejected[], attempted: string | null = null): void {
    const last = rejected.at(-1);
    if (last === undefined) return;
    const { layer, version } = last.push;
    this.parts.log.warn('push refused', {
      layer,
      version,
      code: last.code,
      reason: problemsText(last.problems),
      ...(rejected.length > 1 && { others: rejected.length - 1 }),
    });
    try {
      this.parts.life.refuseAll(rejected, attempted);
    } catch (error) {
      this.cannotStore(last.push, error);
    }
    this.wait.tidy();
    this.report();
  }

  /** The push could not be stored, so it was not applied. */
  private cannotStore(push: NewPush, error: unknown): void {
    this.cannotNow(
      push,
      problem('', `cannot be stored: ${errorText(error)}`, 'the disk of the gateway is full or broken'),
    );
  }

  /** Writes nothing, so that the same push may be sent again. */
  private cannotNow(push: NewPush, reason: Problem): void {
    this.parts.log.error('push cannot be applied now', { reason: problemsText([reason]) });
    this.parts.life.turnAway(push.layer, { code: 503, problems: [reason], ...push });
    this.report();
  }
}

/** Whether the content of older pushes of a layer remains after a push. */
const keptBy =
  ({ push, content }: AcceptedPush) =>
  (layer: string): boolean =>
    content.rollback !== true &&
    (layer !== push.layer || (content.config === undefined && content.remove !== true));

function needsOf({ restart, reconnect }: Pick<Applied, 'restart' | 'reconnect'>): Needs {
  if (restart.length > 0) return 'restart';
  return reconnect.length > 0 ? 'reconnect' : 'hot';
}

const hostProblems = (errors: Applied['errors']): Problem[] =>
  errors.map(({ path, message, hint }) => problem(path, message, hint ?? ''));
