/**
 * A push that waits for its model. The push is stored on disk while its model is transferred (`model-intake.ts`), and is handled
 * when the model is complete and verified; both survive a restart. A newer push to the same layer replaces it. Also removes models
 * of former pushes that are no longer used.
 */
import { errorFields } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Clock } from '../system/clock.ts';
import type { AcceptedPush } from './admission.ts';
import type { ConfigCandidates } from './candidate.ts';
import { type LayerName, type ModelClaim, type Problem, waitingSchema } from './contract.ts';
import type { ModelRefusal, Models } from './model-intake.ts';
import type { NewPush, PushLifecycle } from './push-lifecycle.ts';
import { problem, type Refusal } from './verify.ts';

interface ModelWaitParts {
  readonly life: PushLifecycle;
  readonly models: Models;
  readonly candidates: ConfigCandidates;
  readonly clock: Pick<Clock, 'monotonic'>;
  readonly log: Logger;
  /** Refuses the push, records its version as seen, and reports. */
  readonly refuse: (
    push: NewPush,
    code: Refusal['code'],
    problems: readonly Problem[],
    attempted: string | null,
  ) => void;
  /** Reports; the same push may be sent again. */
  readonly cannotNow: (push: NewPush, reason: Problem) => void;
  readonly cannotStore: (push: NewPush, error: unknown) => void;
  readonly report: () => void;
  /** `arrived` has become true. */
  readonly wake: () => void;
}

type Waiting = AcceptedPush & { readonly content: { readonly model: ModelClaim } };

/** A push that could not be stored after its model had arrived is tried again after this, ms. */
const AGAIN_MS = 60_000;

export class ModelWait {
  /** The transfer has ended; `refused` null: the model is here. */
  private arrival: { readonly refused: ModelRefusal | null } | null = null;
  /** When such a push is tried again. */
  private againMs = Number.POSITIVE_INFINITY;
  /** Progress of the transfer in tenths, as last reported. */
  private tenths = 0;

  constructor(private readonly parts: ModelWaitParts) {}

  /** Continues the wait of the previous run. */
  start(): void {
    const waiting = this.readable();
    this.parts.models.tidy(waiting?.content.model ?? null);
    if (waiting !== null) this.receive(waiting.content.model);
    this.tidy();
  }

  /** Whether the transfer has ended; `takeUp` then returns the push. */
  get arrived(): boolean {
    return this.arrival !== null;
  }

  /** Stores a push whose model is missing, and starts the transfer. */
  async expect(taken: AcceptedPush, model: ModelClaim): Promise<void> {
    const { life, models, candidates, log, refuse, cannotNow, cannotStore, report } = this.parts;
    const { push, content, probationMs } = taken;
    const refused = models.refusal(model);
    // The version stays unused, so that the same push can be sent again when there is room.
    if (refused?.code === 503) return cannotNow(push, refused.problem);
    try {
      life.reads(push);
      const folded = candidates.fold(life.running(), taken);
      if ('code' in folded) return refuse(push, folded.code, folded.problems, null);
      const evaluated = candidates.evaluate(folded.layers);
      if ('problems' in evaluated) return refuse(push, 400, evaluated.problems, null);
      if (refused !== null) return refuse(push, refused.code, [refused.problem], evaluated.hash);
      life.expect(push, content, probationMs);
    } catch (error) {
      return cannotStore(push, error);
    }
    log.info('model expected', { model: model.name, bytes: model.bytes, version: push.version });
    this.receive(model);
    report();
  }

  /** After `arrived`: the push to handle; null if it is refused. */
  takeUp(): AcceptedPush | null {
    const refused = this.arrival?.refused ?? null;
    this.arrival = null;
    const { life, refuse, clock } = this.parts;
    const waiting = this.readable();
    if (waiting === null) return null;
    const { push } = waiting;
    // If the push cannot be stored, it is tried again later.
    this.againMs = clock.monotonic() + AGAIN_MS;
    if (refused !== null) refuse(push, refused.code, [refused.problem], null);
    else if (life.isHarmful(push.digest)) refuse(push, 500, [problem('', ENDED_READING)], null);
    else return waiting;
    return null;
  }

  /** Refuses the waiting push if a newer one was applied to its layer. */
  refuseWaiting(applied: readonly NewPush[]): void {
    const { life, models } = this.parts;
    const waiting = life.waiting();
    if (waiting === null || applied.some(({ digest }) => digest === waiting.push.digest)) return;
    if (!applied.some(({ layer }) => layer === waiting.push.layer)) return;
    models.cancel();
    life.refuseWaiting();
  }

  /** Refuses the waiting push of a layer that an empty message removes. */
  withdraw(layer: LayerName): void {
    const { life, models, report, cannotStore } = this.parts;
    const push = life.waiting()?.push;
    if (push?.layer !== layer) return;
    try {
      life.refuseWaiting('was withdrawn before its model had arrived');
      models.cancel();
      report();
    } catch (error) {
      cannotStore(push, error);
    }
  }

  /** Removes models of pushes that are used neither by the config nor by a rollback. */
  tidy(): void {
    const { life, models, candidates, log } = this.parts;
    if (life.models.length === 0) return;
    try {
      const keep = life.modelNames();
      const file = candidates.evaluate({});
      if ('problems' in file) return;
      keep.add(file.config.model.name);
      const expected = this.waiting()?.content.model.name;
      const gone = life.models.filter((name) => !keep.has(name) && name !== expected);
      for (const name of gone) models.remove(name);
      life.forgetModels(gone);
    } catch (error) {
      log.warn('models of former pushes not removed', { ...errorFields(error) });
    }
  }

  /** Called periodically. @param idle no push is being handled */
  watch(idle: boolean): void {
    const { models, clock, report } = this.parts;
    const progress = models.progress();
    const tenths = progress === null ? 0 : Math.floor((10 * progress.received) / progress.bytes);
    if (tenths > this.tenths) {
      this.tenths = tenths;
      report();
    }
    if (progress !== null || this.arrived || clock.monotonic() < this.againMs) return;
    this.againMs = Number.POSITIVE_INFINITY;
    const waiting = idle ? this.waiting() : null;
    if (waiting !== null) this.receive(waiting.content.model);
  }

  private receive(model: ModelClaim): void {
    const { life, models, wake } = this.parts;
    this.tenths = 0;
    const arrived = (refused: ModelRefusal | null): void => {
      this.arrival = { refused };
      wake();
    };
    const beforeCheck = (): ModelRefusal | null =>
      life.checking(model.name)
        ? null
        : { code: 500, problem: problem('model', 'the agent ended twice while it checked this model') };
    if (models.isHere(model)) arrived(null);
    else models.receive(model, beforeCheck, arrived);
  }

  /** The stored push; null if none is waiting or it cannot be read. */
  private waiting(): Waiting | null {
    const waiting = this.parts.life.waiting();
    const content = waitingSchema.safeParse(waiting?.content).data;
    return waiting === null || content === undefined ? null : { ...waiting, content };
  }

  /** The waiting push; refuses it if it cannot be read. */
  private readable(): Waiting | null {
    const stored = this.parts.life.waiting();
    const waiting = this.waiting();
    if (stored !== null && waiting === null)
      this.parts.refuse(stored.push, 503, [problem('', 'the stored push is damaged', 'push it again')], null);
    return waiting;
  }
}

export const ENDED_READING = 'the agent ended twice while it read this push';
