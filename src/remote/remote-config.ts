/**
 * Takes pushes: verifies them, folds those that came together into one candidate, applies it through the agent's own
 * `configure`, watches its probation, and reports. All that it touches is passed in (`Host`), so that tests run it with a
 * clock of their own and without an agent. Time and timers are those of `clock`.
 */
import { type Config, ruleIds } from '../config/index.ts';
import { parseDuration } from '../config/units.ts';
import { errorText, GatecastError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Clock } from '../system/clock.ts';
import { sha256 } from '../system/files.ts';
import {
  type Claims,
  CONFIG_TYP,
  claimsSchema,
  DEFAULT_PROBATION,
  fleetAudience,
  type LayerName,
  type ModelClaim,
  type Needs,
  nodeAudience,
  type Problem,
  type Reported,
  unsignedSchema,
  waitingSchema,
} from './contract.ts';
import type { KeySet } from './keys.ts';
import {
  checkLayer,
  type Effective,
  effectiveConfig,
  type Layers,
  type LocalFile,
  layerOrder,
  nextLayer,
  problemsOf,
} from './layers.ts';
import { isObject, type JsonObject, mergePatch } from './merge-patch.ts';
import type { ModelRefusal, Models } from './model-intake.ts';
import { judge, type ModelVerdict, type Trial, type Vitals } from './probation.ts';
import type { NewPush, PushLife } from './push-life.ts';
import type { Push } from './push-state.ts';
import {
  checkTimes,
  problem,
  problemsText,
  type Refusal,
  readUnsigned,
  statedClaims,
  verify,
} from './verify.ts';

/** What a change of the config gave, as far as it matters here. */
export interface Applied {
  readonly errors: readonly { readonly path: string; readonly message: string; readonly hint?: string }[];
  readonly reconnect: readonly string[];
  readonly restart: readonly string[];
}

/** The agent, as remote config sees it. */
export interface Host {
  /** Goes over to `wanted` as far as a running agent can, or refuses it and changes nothing. Never rejects. */
  configure(
    wanted: Config,
    /** `connect`: prove a changed broker or credential on a second connection. */
    options: { readonly dryRun: boolean; readonly connect: boolean },
  ): Promise<Applied>;
  /** Ends this run and begins another, which asks `PushLife.recover` what to run. */
  restart(reason: string): void;
  vitals(): Vitals;
  clockIsSet(): boolean;
  report(reported: Reported, retain: boolean): void;
  /** The live score of the pushed model that forecasts for `elapsedMs`; decided after three times the length at the latest. */
  judgeModel(elapsedMs: number, lengthMs: number): ModelVerdict;
}

export interface RemoteConfigParts {
  readonly life: PushLife;
  readonly clock: Clock;
  readonly log: Logger;
  readonly host: Host;
  readonly file: () => LocalFile;
  /** Of the local file, which alone decides them. */
  readonly local: Pick<Config, 'node' | 'base' | 'remote_config'>;
  readonly keys: KeySet;
  readonly models: Models;
}

interface Message {
  readonly layer: LayerName;
  readonly payload: Uint8Array;
  readonly bytes: number;
  readonly retained: boolean;
}

type Content = Pick<Claims, 'config' | 'patch' | 'rollback' | 'model'> & { readonly remove?: true };

interface Taken {
  readonly push: NewPush;
  readonly content: Content;
  readonly probationMs: number;
}

interface Candidate {
  readonly taken: Taken;
  readonly superseded: readonly NewPush[];
  readonly layers: Layers;
  readonly effective: Effective;
}

const MAX_QUEUE = 256;
const MAX_QUEUE_BYTES = 4 * 1024 * 1024;
/** Pushes that come together are applied together: at most one change in this time, ms. */
const CHANGE_EVERY_MS = 1000;
/** How often probation is looked at, and a push that waits for the clock, ms. */
const LOOK_MS = 500;
/** Names of streams that are kept over a restart. */
const MAX_BASELINE = 200;
/** Reports are sent at most so often, ms. */
const REPORT_EVERY_MS = 100;
/** A push that the disk refused after its model had come is taken up again after this, ms. */
const AGAIN_MS = 60_000;

export class RemoteConfig {
  private queue: Message[] = [];
  private queuedBytes = 0;
  private working: Promise<void> | null = null;
  private trial: Trial | null = null;
  /** By layer: came while the clock was not set. */
  private readonly waiting = new Map<LayerName, Message>();
  /** The transfer of the model that a push waits for has ended; `refused` null: the model is here. */
  private arrival: { readonly refused: ModelRefusal | null } | null = null;
  /** When a push whose model is here is taken up again, after the disk refused it. */
  private againMs = Number.POSITIVE_INFINITY;
  /** Tenths of the transfer that were reported. */
  private tenths = 0;
  private lastChangeMs = Number.NEGATIVE_INFINITY;
  private lastReportMs = Number.NEGATIVE_INFINITY;
  private reportDue = false;
  private stopped = false;
  private cancelLook: () => void = () => {};

  constructor(private readonly parts: RemoteConfigParts) {}

  /** @param running hash of the config that the agent was started with */
  start(running: string): void {
    const { life } = this.parts;
    life.runs(running);
    if (life.onTrial) this.beginProbation();
    const waiting = this.waitingPush();
    this.parts.models.tidy(waiting?.content.model ?? null);
    if (waiting !== null) this.receiveModel(waiting.content.model);
    this.tidyModels();
    this.report();
    this.look();
  }

  async stop(): Promise<void> {
    this.stopped = true;
    this.cancelLook();
    await this.parts.models.stop();
    await this.working;
  }

  /** Says again what is so, as on a new connection. */
  report(): void {
    if (this.stopped) return;
    const { clock, host, life } = this.parts;
    const waitMs = this.lastReportMs + REPORT_EVERY_MS - clock.monotonic();
    if (waitMs <= 0) {
      this.lastReportMs = clock.monotonic();
      this.reportDue = false;
      const transfer = this.parts.models.progress();
      host.report({ ...life.reported(), ...(transfer !== null && { transfer }) }, true);
    } else if (!this.reportDue) {
      this.reportDue = true;
      clock.after(waitMs, () => {
        if (!this.reportDue) return;
        // A timer may come a little early: it is then set again.
        this.reportDue = false;
        this.report();
      });
    }
  }

  /** Takes what came on a desired topic. Bounded: of too many the oldest are dropped and counted. */
  receive(layer: LayerName, payload: Uint8Array, retained: boolean): void {
    if (this.stopped) return;
    // One that is too large is only counted by its length.
    const kept = payload.length > 2 * MAX_QUEUE_BYTES ? new Uint8Array(0) : Uint8Array.from(payload);
    this.queue.push({ layer, payload: kept, bytes: payload.length, retained });
    this.queuedBytes += kept.length;
    while (this.queue.length > MAX_QUEUE || (this.queuedBytes > MAX_QUEUE_BYTES && this.queue.length > 1)) {
      this.queuedBytes -= this.queue.shift()?.payload.length ?? 0;
      this.parts.life.drop(1);
    }
    this.work();
  }

  /** Resolves when nothing is left to do but to wait. */
  async settled(): Promise<void> {
    while (this.working !== null) await this.working;
  }

  /** A config was applied by another way, such as `reload`. */
  runs(hash: string): void {
    this.parts.life.runs(hash);
    this.report();
  }

  private work(): void {
    if (this.working !== null || this.stopped) return;
    this.working = this.loop()
      .catch((error: unknown) => this.parts.log.error('remote config failed', { reason: errorText(error) }))
      .finally(() => {
        this.working = null;
        this.workOn();
      });
  }

  private workOn(): void {
    if (this.queue.length > 0 || this.arrival !== null) this.work();
  }

  private async loop(): Promise<void> {
    while ((this.queue.length > 0 || this.arrival !== null) && !this.stopped) {
      const waitMs = this.lastChangeMs + CHANGE_EVERY_MS - this.parts.clock.monotonic();
      if (waitMs > 0) await new Promise<void>((resolve) => this.parts.clock.after(waitMs, resolve));
      const { arrival } = this;
      this.arrival = null;
      if (arrival !== null) await this.takeUpWaiting(arrival.refused);
      const batch = this.queue.splice(0);
      this.queuedBytes = 0;
      const taken: Taken[] = [];
      for (const message of batch) {
        const one = await this.take(message, taken);
        if (one !== null) taken.push(one);
      }
      await this.handleAll(taken);
    }
  }

  /** Pushes that come together are applied together, but for one whose model is still to come. */
  private async handleAll(batch: readonly Taken[]): Promise<void> {
    let ready: Taken[] = [];
    for (const taken of batch) {
      const { model } = taken.content;
      if (model === undefined || this.parts.models.isHere(model)) ready.push(taken);
      else {
        if (ready.length > 0) await this.handle(ready);
        ready = [];
        await this.expect(taken, model);
      }
    }
    if (ready.length > 0) await this.handle(ready);
  }

  /** The push waits for its model. It is applied when the model is here and right. */
  private async expect(taken: Taken, model: ModelClaim): Promise<void> {
    const { life, models, log } = this.parts;
    const { push, content, probationMs } = taken;
    const refused = models.refusal(model);
    // Its version is not used up: it may come again when there is room.
    if (refused?.code === 503) return this.cannotNow(push, refused.problem);
    try {
      life.reads(push);
      const folded = this.fold(life.running(), taken);
      if ('code' in folded) return this.refuse(push, folded.code, folded.problems, null);
      const evaluated = this.evaluate(folded.layers);
      if ('problems' in evaluated) return this.refuse(push, 400, evaluated.problems, null);
      if (refused !== null) return this.refuse(push, refused.code, [refused.problem], evaluated.hash);
      life.expect(push, content, probationMs);
    } catch (error) {
      return this.cannotStore(push, error);
    }
    log.info('model expected', { model: model.name, bytes: model.bytes, version: push.version });
    this.receiveModel(model);
    this.report();
  }

  private receiveModel(model: ModelClaim): void {
    const { life, models } = this.parts;
    this.tenths = 0;
    const arrived = (refused: ModelRefusal | null): void => {
      this.arrival = { refused };
      this.work();
    };
    const beforeCheck = (): ModelRefusal | null =>
      life.checking(model.name)
        ? null
        : { code: 500, problem: problem('model', 'the agent ended twice while it checked this model') };
    if (models.isHere(model)) arrived(null);
    else models.receive(model, beforeCheck, arrived);
  }

  /** The push that waits for its model, as it was stored; null where none does. */
  private waitingPush(): (Taken & { readonly content: { readonly model: ModelClaim } }) | null {
    const waiting = this.parts.life.waiting();
    if (waiting === null) return null;
    const { push, probationMs, content } = waiting;
    const parsed = waitingSchema.safeParse(content);
    if (parsed.success) return { push, probationMs, content: parsed.data };
    this.refuse(push, 503, [problem('', 'the stored push is damaged', 'push it again')], null);
    return null;
  }

  private async takeUpWaiting(refused: ModelRefusal | null): Promise<void> {
    const waiting = this.waitingPush();
    if (waiting === null) return;
    const { push } = waiting;
    if (refused !== null) this.refuse(push, refused.code, [refused.problem], null);
    else if (this.parts.life.isHarmful(push.digest))
      this.refuse(push, 500, [problem('', 'the agent ended twice while it read this push')], null);
    else await this.handle([waiting]);
    // Where the disk refused the push, it still waits.
    this.againMs = this.parts.clock.monotonic() + AGAIN_MS;
  }

  /** Removes models of pushes that neither the config nor a rollback names. */
  private tidyModels(): void {
    const { life, models, log } = this.parts;
    try {
      const keep = life.modelNames();
      const file = this.evaluate({});
      if ('problems' in file) return;
      keep.add(file.config.model.name);
      const expected = this.waitingPush()?.content.model.name;
      const gone = life.models.filter((name) => !keep.has(name) && name !== expected);
      for (const name of gone) models.remove(name);
      life.forgetModels(gone);
    } catch (error) {
      log.warn('models of former pushes not removed', { reason: errorText(error) });
    }
  }

  /** Whether a message is a push to apply. @param before those of the same batch */
  private async take(message: Message, before: readonly Taken[]): Promise<Taken | null> {
    const { payload } = message;
    const { life, clock, host, local, keys } = this.parts;
    const layer = this.layerOf(message);
    if (message.bytes === 0) return this.takeBack(layer);
    const digest = sha256(payload);
    // Repeated by the broker, or delivered on the topic of the node before that of its fleet.
    if ((message.retained || layer !== 'node') && life.isHandled(layer, digest)) {
      this.report();
      return null;
    }
    const audience =
      layer === 'node' ? nodeAudience(local.base, local.node) : fleetAudience(local.base, layer.slice(6));
    const turnAway = (refusal: Refusal): null => {
      life.turnAway(layer, refusal);
      this.parts.log.warn('push refused', {
        layer,
        code: refusal.code,
        reason: problemsText(refusal.problems),
      });
      this.report();
      return null;
    };
    if (message.bytes !== payload.length)
      return turnAway(refusalOf(413, problem('', `has ${message.bytes} bytes`)));
    const { message: authentic, refusal } = local.remote_config.unsigned
      ? readUnsigned(payload, { audience, schema: unsignedSchema })
      : await verify(payload, { keys, typ: CONFIG_TYP, role: 'config', audience, schema: claimsSchema });
    if (refusal !== null) return turnAway(refusal);
    const { claims, kid } = authentic;
    const push: NewPush = { layer, version: claims.version, kid, token: claims.token ?? null, digest };
    const refuse = (code: Refusal['code'], found: Problem): null =>
      turnAway({ code, problems: [found], ...push });
    if (claims.model !== undefined && kid !== null && !(keys.get(kid)?.roles.includes('model') ?? false))
      return refuse(401, problem('header.kid', 'may not sign models', 'sign with a key of the role `model`'));
    const seen = Math.max(
      life.seen(layer, kid),
      ...before.map((one) =>
        one.push.layer === layer && one.push.kid === kid ? (one.push.version ?? 0) : 0,
      ),
    );
    const again = claims.version === seen && life.mayComeAgain(digest);
    if (claims.version <= seen && !again)
      return refuse(409, problem('version', `must be greater than ${seen}, the last one of this key`, NEWER));
    if (claims.iat !== undefined || claims.exp !== undefined) {
      if (!host.clockIsSet()) {
        this.waiting.set(layer, message);
        return refuse(503, problem('exp', 'cannot be checked before the clock of the gateway is set', CLOCK));
      }
      const times = checkTimes(claims, clock.now());
      if (times !== null) return refuse(408, times);
    }
    if (life.isHarmful(digest)) {
      life.refuse(push, 500, [problem('', 'the agent ended twice while it read this push')], null);
      this.report();
      return null;
    }
    const taken: Taken = {
      push,
      content: claims,
      probationMs: parseDuration(claims.probation ?? DEFAULT_PROBATION) ?? 0,
    };
    if (claims.dry_run !== true) return taken;
    await this.tryOut(taken);
    return null;
  }

  /** A push to a fleet may also come on the node's own topic: its audience, which is signed, says what it is for. */
  private layerOf({ layer, payload }: Message): LayerName {
    const { base, remote_config } = this.parts.local;
    if (layer !== 'node' || payload.length === 0) return layer;
    const stated = statedClaims(payload)?.aud;
    const group = remote_config.groups.find((name) => stated === fleetAudience(base, name));
    return group === undefined ? layer : `fleet:${group}`;
  }

  private takeBack(layer: LayerName): Taken | null {
    this.waiting.delete(layer);
    if (this.parts.life.running()[layer] === undefined) return null;
    const push: NewPush = { layer, version: null, kid: null, token: null, digest: sha256('') };
    return { push, content: { remove: true }, probationMs: parseDuration(DEFAULT_PROBATION) ?? 0 };
  }

  private async tryOut(taken: Taken): Promise<void> {
    const { life, host } = this.parts;
    const answer = (
      code: Refusal['code'],
      problems: readonly Problem[],
      hash: string | null,
      needs: Needs | null,
    ) => host.report(life.answer(taken.push, code, problems, hash, needs), false);
    const folded = this.fold(life.running(), taken);
    if ('code' in folded) return answer(folded.code, folded.problems, null, null);
    const evaluated = this.evaluate(folded.layers);
    if ('problems' in evaluated) return answer(400, evaluated.problems, null, null);
    const { model } = taken.content;
    const refused = model === undefined ? null : this.parts.models.refusal(model);
    if (refused !== null) return answer(refused.code, [refused.problem], evaluated.hash, null);
    const running = this.evaluate(life.running());
    const isHere = model === undefined || this.parts.models.isHere(model);
    // A model that is still to come cannot be loaded: the rest of the config is tried.
    const tried =
      isHere || 'problems' in running
        ? evaluated.config
        : { ...evaluated.config, model: running.config.model };
    const { errors, ...diff } = await host.configure(tried, {
      dryRun: true,
      connect: false,
    });
    answer(errors.length > 0 ? 400 : 200, hostProblems(errors), evaluated.hash, needsOf(diff));
  }

  /** Applies what a batch of pushes comes to. */
  private async handle(batch: readonly Taken[]): Promise<void> {
    const { life, log } = this.parts;
    const newest = batch.at(-1);
    if (newest === undefined) return;
    try {
      life.receive(newest.push);
    } catch (error) {
      return this.cannotStore(newest.push, error);
    }
    const candidate = await this.choose(batch);
    if (candidate === null) return;
    const { taken, effective, layers, superseded } = candidate;
    const { push } = taken;
    try {
      const { host } = this.parts;
      const tried = await host.configure(effective.config, { dryRun: true, connect: false });
      if (tried.errors.length > 0) return this.refuse(push, 400, hostProblems(tried.errors), effective.hash);
      const needs = needsOf(tried);
      if (tried.reconnect.length > 0) {
        // The new broker is proven here, once: neither applying nor going back waits for it.
        const proven = await host.configure(effective.config, { dryRun: true, connect: true });
        if (proven.errors.length > 0)
          return this.refuse(push, 500, hostProblems(proven.errors), effective.hash);
      }
      this.endWaiting([...superseded, push]);
      life.verified(push, superseded, {
        attemptedHash: effective.hash,
        needs,
        probationMs: taken.probationMs,
        baseline: this.baseline(effective),
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
    this.tidyModels();
    await this.apply(effective, life.push?.needs ?? 'hot');
  }

  /** A push is applied that is newer than the one that waits in its layer. */
  private endWaiting(applied: readonly NewPush[]): void {
    const { life, models } = this.parts;
    const waiting = life.waiting();
    if (waiting === null || applied.some(({ digest }) => digest === waiting.push.digest)) return;
    if (!applied.some(({ layer }) => layer === waiting.push.layer)) return;
    models.cancel();
    life.giveWay();
  }

  private async apply(effective: Effective, needs: Needs): Promise<void> {
    const { life, host } = this.parts;
    if (needs === 'restart') return host.restart('a remote config needs it');
    const before = host.vitals();
    const { errors } = await host.configure(effective.config, { dryRun: false, connect: false });
    if (errors.length > 0) return this.goBack(hostProblems(errors));
    life.runs(effective.hash);
    this.beginProbation(before);
    this.report();
  }

  /** What a restart must not lose of the state before it. */
  private baseline(wanted: Effective): Push['baseline'] {
    const { life, host, clock } = this.parts;
    const { streams, rssMb, alerts } = host.vitals();
    const nowMs = clock.monotonic();
    const names = streams
      .filter(
        ({ publishedMs, intervalMs }) => publishedMs !== null && nowMs - publishedMs < 3 * (intervalMs ?? 0),
      )
      .map(({ name }) => name);
    const running = this.evaluate(life.running());
    const ids = ruleIds(wanted.config.streams);
    const ruleGone =
      !('problems' in running) && ruleIds(running.config.streams).some((id) => !ids.includes(id));
    return { streams: names.slice(0, MAX_BASELINE), rssMb, alerts: [...alerts], ruleGone };
  }

  /** @param before left out after a restart: the state is then the one that was kept */
  private beginProbation(before?: Vitals): void {
    const { life, clock, host } = this.parts;
    const sinceMs = clock.monotonic();
    const { probationMs: lengthMs = 0, baseline = null } = life.push ?? {};
    if (life.phase === 'applying') life.probation();
    const kept: Vitals = {
      connected: true,
      rssMb: baseline?.rssMb ?? host.vitals().rssMb,
      alerts: baseline?.alerts ?? host.vitals().alerts,
      stepFailures: 0,
      modelProblem: null,
      streams: (baseline?.streams ?? []).map((name) => ({
        name,
        publishedMs: sinceMs,
        intervalMs: null,
        forecasts: 0,
      })),
    };
    const ruleGone = baseline?.ruleGone ?? false;
    const otherModel = life.modelOnTrial();
    const allStreams = before !== undefined || kept.streams.length < MAX_BASELINE;
    this.trial = {
      before: before ?? kept,
      ruleGone,
      otherModel,
      allStreams,
      sinceMs,
      lengthMs,
      lostSinceMs: null,
    };
  }

  private look(): void {
    if (this.stopped) return;
    this.cancelLook = this.parts.clock.after(LOOK_MS, () => {
      this.watch()
        .catch((error: unknown) => this.parts.log.error('remote config failed', { reason: errorText(error) }))
        .finally(() => this.look());
    });
  }

  private async watch(): Promise<void> {
    const { life, clock, host, log } = this.parts;
    if (this.waiting.size > 0 && host.clockIsSet()) {
      const due = [...this.waiting.values()];
      this.waiting.clear();
      for (const { layer, payload, retained } of due) this.receive(layer, payload, retained);
    }
    this.watchTransfer();
    if (this.trial === null || this.working !== null) return;
    const nowMs = clock.monotonic();
    const { otherModel, sinceMs, lengthMs } = this.trial;
    const model = otherModel ? host.judgeModel(nowMs - sinceMs, lengthMs) : undefined;
    const verdict = judge(this.trial, host.vitals(), nowMs, model);
    this.trial = verdict.trial;
    if (verdict.failed !== null) {
      this.working = this.goBack([problem('', verdict.failed)]).finally(() => {
        this.working = null;
        this.workOn();
      });
      await this.working;
    } else if (verdict.passed) {
      life.commit();
      this.trial = null;
      log.info('push committed', { version: life.push?.version ?? null });
      this.tidyModels();
      this.report();
    }
  }

  private watchTransfer(): void {
    const { models, clock } = this.parts;
    const progress = models.progress();
    const tenths = progress === null ? 0 : Math.floor((10 * progress.received) / progress.bytes);
    if (tenths > this.tenths) {
      this.tenths = tenths;
      this.report();
    }
    if (progress !== null || this.arrival !== null || clock.monotonic() < this.againMs) return;
    this.againMs = Number.POSITIVE_INFINITY;
    const waiting = this.working === null ? this.waitingPush() : null;
    if (waiting !== null) this.receiveModel(waiting.content.model);
  }

  /** To the config that was committed last. */
  private async goBack(problems: readonly Problem[]): Promise<void> {
    const { life, host, log } = this.parts;
    this.trial = null;
    log.error('push rolled back', { version: life.push?.version ?? null, reason: problemsText(problems) });
    const { needs } = life.push ?? { needs: 'restart' };
    life.rollBack(problems);
    const { layers } = life.current();
    const target = this.evaluate(layers);
    if (needs === 'restart' || 'problems' in target) return host.restart('a remote config is rolled back');
    const { errors, restart } = await host.configure(target.config, { dryRun: false, connect: false });
    if (errors.length > 0 || restart.length > 0) return host.restart('a remote config is rolled back');
    life.rolledBack();
    life.runs(target.hash);
    this.tidyModels();
    this.report();
  }

  /** The config that a batch comes to: all of it where that is valid, else one push after the other. */
  private async choose(batch: readonly Taken[]): Promise<Candidate | null> {
    const { life } = this.parts;
    let layers = life.running();
    const good: Taken[] = [];
    for (const taken of batch) {
      const folded = this.fold(layers, taken);
      if ('code' in folded) this.refuse(taken.push, folded.code, folded.problems, null);
      else {
        layers = folded.layers;
        good.push(taken);
      }
    }
    const whole = good.length === 0 ? null : this.evaluate(layers);
    const last = good.at(-1);
    if (last === undefined || whole === null) return null;
    if (!('problems' in whole)) {
      const superseded = good.slice(0, -1).map(({ push }) => push);
      return { taken: last, superseded, layers, effective: whole };
    }
    let found: Candidate | null = null;
    layers = life.running();
    for (const taken of good) {
      const folded = this.fold(layers, taken);
      if ('code' in folded) continue;
      const effective = this.evaluate(folded.layers);
      if ('problems' in effective) this.refuse(taken.push, 400, effective.problems, null);
      else {
        layers = folded.layers;
        const superseded: readonly NewPush[] = found === null ? [] : [...found.superseded, found.taken.push];
        found = { taken, superseded, layers, effective };
      }
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    // A refusal of a later push has ended the phase `received`.
    if (found !== null) life.receive(found.taken.push);
    return found;
  }

  /** The layers with a push in them. */
  private fold(
    layers: Layers,
    { push, content }: Taken,
  ): { readonly layers: Layers } | { readonly code: Refusal['code']; readonly problems: readonly Problem[] } {
    if (content.rollback === true) {
      const previous = this.parts.life.previousLayers();
      return previous === null
        ? { code: 400, problems: [problem('rollback', 'there is no config before the present one')] }
        : { layers: previous };
    }
    if (content.remove === true) {
      const { [push.layer]: _, ...others } = layers;
      return { layers: others };
    }
    const given: JsonObject | undefined = content.config ?? content.patch;
    const wrong = given === undefined ? null : checkLayer(given);
    if (wrong !== null) return wrong;
    const layer = nextLayer(layers[push.layer], content);
    const { model } = content;
    if (model === undefined) return { layers: { ...layers, [push.layer]: layer } };
    const named = isObject(given?.model) ? given.model.name : undefined;
    if (named !== undefined && named !== model.name)
      return {
        code: 400,
        problems: [
          problem('model.name', `must be ${model.name}, the model that comes with the push`, 'leave it out'),
        ],
      };
    const withModel = mergePatch(layer, { model: { name: model.name } }) as JsonObject;
    return { layers: { ...layers, [push.layer]: withModel } };
  }

  private evaluate(layers: Layers): Effective | { readonly problems: readonly Problem[] } {
    try {
      return effectiveConfig(this.parts.file(), layers, this.order());
    } catch (error) {
      if (error instanceof GatecastError && error.issues.length > 0)
        return { problems: problemsOf(error.issues) };
      return { problems: [problem('', errorText(error))] };
    }
  }

  private refuse(
    push: NewPush,
    code: Refusal['code'],
    problems: readonly Problem[],
    attempted: string | null,
  ): void {
    this.parts.log.warn('push refused', {
      layer: push.layer,
      version: push.version,
      code,
      reason: problemsText(problems),
    });
    try {
      this.parts.life.refuse(push, code, problems, attempted);
    } catch (error) {
      this.cannotStore(push, error);
    }
    this.tidyModels();
    this.report();
  }

  /** The disk takes nothing: nothing was applied. */
  private cannotStore(push: NewPush, error: unknown): void {
    this.cannotNow(
      push,
      problem('', `cannot be stored: ${errorText(error)}`, 'the disk of the gateway is full or broken'),
    );
  }

  /** Nothing is written: the same push may come again. */
  private cannotNow(push: NewPush, reason: Problem): void {
    this.parts.log.error('push cannot be taken now', { reason: problemsText([reason]) });
    this.parts.life.turnAway(push.layer, { code: 503, problems: [reason], ...push });
    this.report();
  }

  private order(): LayerName[] {
    return layerOrder(this.parts.local.remote_config.groups);
  }
}

function needsOf({ restart, reconnect }: Pick<Applied, 'restart' | 'reconnect'>): Needs {
  if (restart.length > 0) return 'restart';
  return reconnect.length > 0 ? 'reconnect' : 'hot';
}

const hostProblems = (errors: Applied['errors']): Problem[] =>
  errors.map(({ path, message, hint }) => problem(path, message, hint ?? ''));

const refusalOf = (code: Refusal['code'], ...problems: readonly Problem[]): Refusal => ({
  code,
  problems,
  version: null,
  kid: null,
  token: null,
});

const NEWER = 'sign it again with a higher version';
const CLOCK = 'it is taken as soon as the clock is set';
