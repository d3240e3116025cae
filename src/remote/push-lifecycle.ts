/**
 * The life of a push: received -> verified -> staged -> applying -> probation -> committed, or rolling_back -> rolled_back.
 * Each phase is on disk before it begins. No I/O but the state's folder; time is passed in.
 */
import type { Needs, Problem, Reported, Status } from './contract.ts';
import type { Layers } from './layers.ts';
import { isObject } from './merge-patch.ts';
import {
  type Folder,
  type Push,
  PushState,
  type Slot,
  type State,
  type Versions,
  type WaitingPush,
} from './push-state.ts';
import { problem, type Refusal } from './verify.ts';

/** The start with this number rolls an uncommitted candidate back before reading it. */
const MAX_STARTS = 3;
/** A push is refused if the agent crashed this often while reading it or checking its model. */
const MAX_READINGS = 2;
const MAX_HISTORY = 8;
const MAX_PROBLEMS = 32;
/** Key id of unsigned pushes in the versions. */
const UNSIGNED = 'unsigned';

/** An accepted push, before its content is read. */
export type NewPush = Pick<Push, 'layer' | 'version' | 'kid' | 'token' | 'digest'>;

/** A push that is authentic but does not give a valid config. */
export interface Rejected {
  readonly push: NewPush;
  readonly code: Refusal['code'];
  readonly problems: readonly Problem[];
}

interface StartWith {
  readonly slot: 'current' | 'candidate';
  readonly layers: Layers;
  /** Damage of the files, for an alert; null: none. */
  readonly damage: string | null;
}

export const DAMAGED = 'the committed config is damaged; the local file applies alone';

const FILE_ALONE: Reported['effective'] = {
  status: 'applied',
  code: 200,
  version: null,
  kid: null,
  token: null,
};

export class PushLifecycle {
  private readonly state: PushState;
  /** Report of a refusal that is not written to the disk. */
  private unsaved: Reported | null = null;
  private effectiveHash = '';
  /** Hash of the last committed config, on the current local file. */
  private goodHash = '';
  /** Why the local file applies alone since the start although a push was committed, and the hash of that config. */
  private alone: { readonly reason: string; readonly hash: string } | null = null;
  /** Number of pushes dropped unread. */
  dropped = 0;
  private readonly damage: string | null;

  /** @param now wall clock, ms */
  constructor(
    folder: Folder,
    private readonly now: () => number,
  ) {
    this.state = new PushState(folder);
    this.damage = this.state.damage;
  }

  get phase(): State['phase'] {
    return this.state.now.phase;
  }

  get push(): Push | null {
    return this.state.now.push;
  }

  /** Whether a candidate is running that may be rolled back. */
  get onTrial(): boolean {
    return this.phase === 'applying' || this.phase === 'probation';
  }

  /**
   * Called once per start, before any config is read: counts the start, completes interrupted phases, and returns the layers
   * to run.
   */
  recover(): StartWith {
    const { phase, reading, starts } = this.state.now;
    // repairs both copies of the state first
    if (this.damage !== null || this.state.uneven) this.state.putAnyway({});
    this.state.removeUnused();
    if (reading !== null) this.state.putAnyway({ reading: { ...reading, ended: reading.ended + 1 } });
    if (this.onTrial) {
      if (starts + 1 >= MAX_STARTS) {
        this.rollBack([problem('', `was not committed within ${MAX_STARTS} starts of the agent`)]);
        this.rolledBack();
      } else {
        this.state.putAnyway({ starts: starts + 1 });
        const layers = this.candidateLayers();
        const { unwritten } = this.state;
        // Without counting starts, a crashing config could restart forever.
        if (layers !== null && unwritten === null) return { slot: 'candidate', layers, damage: this.damage };
        this.rollBack([problem('', unwritten ?? 'the stored config is damaged')]);
        this.rolledBack();
      }
    } else if (phase === 'rolling_back') this.rolledBack();
    else if (phase === 'received' || phase === 'verified' || phase === 'staged') this.abandon();
    return this.current();
  }

  /** The last committed layers; only the local file if they are damaged. */
  current(): StartWith {
    const { current } = this.state.now;
    const layers = this.state.layersOf(current);
    const damage = layers === null ? DAMAGED : this.damage;
    return { slot: 'current', layers: layers ?? {}, damage: damage ?? this.state.unwritten };
  }

  /** Whether the last committed layers cannot be read. */
  get isDamaged(): boolean {
    return this.state.layersOf(this.state.now.current) === null;
  }

  candidateLayers(): Layers | null {
    const { candidate } = this.state.now;
    return candidate === null ? null : this.state.layersOf(candidate);
  }

  running(): Layers {
    return (this.onTrial ? this.candidateLayers() : null) ?? this.current().layers;
  }

  /** Layers that `rollback: true` restores; null if there are none, or they are damaged. */
  previousLayers(): Layers | null {
    if (this.onTrial) return this.state.layersOf(this.state.now.current);
    const { previous } = this.state.now;
    return previous === null ? null : this.state.layersOf(previous);
  }

  /** The committed layers cannot be used: the local file applies alone, until a push is committed or the file is changed. */
  fileAlone(reason: string, hash: string): void {
    this.alone = { reason, hash };
  }

  /** Why the committed layers do not apply; null: they do. */
  get unusedBecause(): string | null {
    if (this.onTrial || this.alone === null) return null;
    // Damaged layers do not apply on a changed file either.
    return this.alone.hash === this.effectiveHash || this.isDamaged ? this.alone.reason : null;
  }

  /** Sets the hash of the running config. */
  runs(effectiveHash: string): void {
    this.effectiveHash = effectiveHash;
    if (!this.onTrial) this.goodHash = effectiveHash;
  }

  /** Sets the hash of the config that a rollback restores. */
  goesBackTo(goodHash: string): void {
    this.goodHash = goodHash;
  }

  /** Highest version seen from this key for the layer. */
  seen(layer: string, kid: string | null): number {
    return this.state.now.versions[layer]?.[kid ?? UNSIGNED] ?? 0;
  }

  /** Whether this is the push handled last, repeated by the broker. */
  isHandled(layer: string, digest: string): boolean {
    return this.state.now.handled[layer] === digest;
  }

  /** Whether this push was interrupted before it was applied, so the same version is accepted again. */
  mayComeAgain(digest: string): boolean {
    return this.state.now.again === digest;
  }

  /** Whether the agent crashed too often while reading this push. */
  isHarmful(digest: string): boolean {
    const { reading } = this.state.now;
    return reading?.digest === digest && reading.ended >= MAX_READINGS;
  }

  /** Call before the content of pushes is read; `newest` represents the batch. */
  receive(newest: NewPush): void {
    this.reads(newest, this.onTrial ? {} : { phase: 'received', push: pushOf(newest) });
  }

  /** Call before the content of a push that will wait for its model is read. */
  reads({ digest }: NewPush, change: Partial<Pick<State, 'phase' | 'push'>> = {}): void {
    this.state.mustRead();
    const { reading } = this.state.now;
    this.state.put({ reading: { digest, ended: reading?.digest === digest ? reading.ended : 0 }, ...change });
  }

  /** Pushes that are authentic but cannot be applied: their versions are used up. One write for all; the last one is reported. */
  refuseAll(rejected: readonly Rejected[], attempted: string | null = null): void {
    const last = rejected.at(-1);
    if (last === undefined) return;
    const { push, code, problems } = last;
    const reported = this.reportOf('rejected', code, { ...push, attemptedHash: attempted }, problems);
    const pushes = rejected.map((one) => one.push);
    this.unsaved = null;
    this.state.put({
      ...this.spent(pushes),
      ...this.arrived(pushes),
      reading: null,
      reported,
      ...(this.onTrial ? {} : { phase: 'idle', push: null, candidate: null }),
    });
    this.state.settle();
  }

  /** Refuses a message that is not authentic or not valid now. Writes nothing, so that a flood cannot wear out flash. */
  turnAway(layer: string, { code, problems, version, kid, token }: Refusal): void {
    this.unsaved = this.reportOf('rejected', code, { layer, version, kid, token }, problems);
  }

  /** Stores a push that waits for its model. Refuses a push that waited before. */
  expect(push: NewPush, content: unknown, probationMs: number): void {
    this.refuseWaiting();
    const name = this.state.keepContent(content);
    const incoming: WaitingPush = { ...push, probationMs, content: name, checks: 0 };
    this.unsaved = null;
    this.state.put({
      ...this.spent([push]),
      incoming,
      reading: null,
      again: null,
      reported: this.reportOf('applying', 202, incoming),
    });
    this.state.settle();
  }

  /** The push that waits for its model; `content` null: unreadable. */
  waiting(): { readonly push: NewPush; readonly content: unknown; readonly probationMs: number } | null {
    const { incoming } = this.state.now;
    if (incoming === null) return null;
    const { probationMs, content: _, checks: __, ...push } = incoming;
    return { push, probationMs, content: this.state.contentOf(incoming) };
  }

  /** Ends the wait of a push. */
  refuseWaiting(reason = 'a newer push arrived before the model of this one'): void {
    const { incoming } = this.state.now;
    if (incoming === null) return;
    const reported = this.reportOf('rejected', 409, incoming, [problem('', reason)]);
    this.unsaved = null;
    this.state.put({ incoming: null, reported: this.withHistory(reported, incoming) });
    this.state.settle();
  }

  /** Call before the model of the waiting push is checked. @returns false if it crashed the agent too often */
  checking(model: string): boolean {
    const { incoming, models } = this.state.now;
    if (incoming === null || incoming.checks >= MAX_READINGS) return false;
    this.state.put({
      incoming: { ...incoming, checks: incoming.checks + 1 },
      models: models.includes(model) ? models : [...models, model],
    });
    this.state.settle();
    return true;
  }

  /** Names of models that pushes have added to the registry. */
  get models(): readonly string[] {
    return this.state.now.models;
  }

  forgetModels(names: readonly string[]): void {
    if (names.length === 0) return;
    this.state.put({ models: this.state.now.models.filter((name) => !names.includes(name)) });
  }

  /** Names of models in the layers of any slot. */
  modelNames(): Set<string> {
    const { current, previous, candidate } = this.state.now;
    return new Set([current, previous, candidate].flatMap((slot) => this.namesIn(slot)));
  }

  /** Whether the candidate on trial has another model. */
  modelOnTrial(): boolean {
    const { current, candidate } = this.state.now;
    return this.onTrial && this.namesIn(candidate).join() !== this.namesIn(current).join();
  }

  private namesIn(slot: Slot | null): string[] {
    const layers = slot === null ? null : this.state.layersOf(slot);
    return Object.values(layers ?? {}).flatMap(({ model }) =>
      isObject(model) && typeof model.name === 'string' ? [model.name] : [],
    );
  }

  /** Counts a message dropped unread. */
  drop(): void {
    this.dropped += 1;
  }

  /**
   * The effective config is valid.
   * @param superseded older pushes of the same batch
   * @param keeps whether the content of older pushes of a layer is part of the candidate
   */
  verified(
    push: NewPush,
    superseded: readonly NewPush[],
    keeps: (layer: string) => boolean,
    about: Pick<Push, 'attemptedHash' | 'needs' | 'probationMs' | 'baseline'>,
  ): void {
    this.unsaved = null;
    const { push: tried, reported } = this.state.now;
    const ran = this.onTrial && tried !== null ? [...tried.includes, tried] : [];
    const older: readonly (NewPush | Push['includes'][number])[] = [...ran, ...superseded];
    const includes = older
      .filter(({ layer }) => keeps(layer))
      .map((one) => ({ ...identityOf(one), ...(ran.some((other) => other === one) ? { ran: true } : {}) }))
      .slice(-MAX_HISTORY);
    const replaced = older.filter(({ layer }) => !keeps(layer));
    this.state.put({
      ...this.spent([...superseded, push]),
      reported: reported && { ...reported, history: this.historyWith(reported, 'rejected', 409, replaced) },
      phase: 'verified',
      push: { ...pushOf(push), ...about, includes },
      candidate: null,
      starts: 0,
    });
  }

  stage(layers: Layers): void {
    const { push, versions } = this.state.now;
    const { version, kid, token, attemptedHash } = this.must(push);
    const candidate: Slot = {
      layers: this.state.keep(layers, versions),
      version,
      kid,
      token,
      hash: attemptedHash ?? '',
    };
    this.state.put({ phase: 'staged', candidate });
  }

  applying(): void {
    const push = this.must(this.state.now.push);
    this.state.put({
      ...this.arrived([push]),
      phase: 'applying',
      starts: 0,
      reported: this.reportOf('applying', 202, push),
    });
  }

  /** The candidate runs. */
  probation(): void {
    const push = this.must(this.state.now.push);
    this.state.putAnyway({
      phase: 'probation',
      reading: null,
      reported: this.reportOf('probation', 202, push),
    });
  }

  /** @param notes what the probation could not check */
  commit(notes: readonly string[] = []): void {
    const { push, candidate, current } = this.state.now;
    this.goodHash = this.effectiveHash;
    this.alone = null;
    const done = this.must(push);
    this.state.put({
      phase: 'committed',
      previous: current,
      current: this.must(candidate),
      candidate: null,
      starts: 0,
      reading: null,
      reported: {
        ...this.withHistory(this.reportOf('applied', 200, done), done),
        ...(notes.length === 0 ? {} : { notes: [...notes] }),
      },
    });
    this.unsaved = null;
    this.state.settle();
  }

  rollBack(problems: readonly Problem[]): void {
    const push = this.must(this.state.now.push);
    this.state.putAnyway({
      phase: 'rolling_back',
      push: { ...push, problems: [...problems].slice(0, MAX_PROBLEMS) },
    });
  }

  /** The committed config runs again. */
  rolledBack(): void {
    const { push } = this.state.now;
    const failed = this.must(push);
    this.effectiveHash = this.goodHash;
    this.unsaved = null;
    this.state.putAnyway({
      phase: 'rolled_back',
      candidate: null,
      starts: 0,
      reading: null,
      reported: this.withHistory(this.reportOf('rolled_back', 500, failed, failed.problems), failed),
    });
    this.state.settle();
  }

  /** The current `config/reported`. */
  reported(): Reported {
    const last = this.unsaved ?? this.state.now.reported;
    const base = last ?? this.reportOf('applied', 200, NO_PUSH);
    const now = { effective_hash: this.effectiveHash, last_good: this.lastGood(), dropped: this.dropped };
    const reason = this.unusedBecause;
    if (reason === null) return { ...base, ...now };
    const undone = {
      status: 'rolled_back' as const,
      code: 500,
      rolled_back_from: base.version,
      errors: [problem('', reason)],
    };
    return { ...base, ...(base.status === 'applied' && undone), ...now, effective: FILE_ALONE };
  }

  /** The answer to a dry run. */
  answer(
    push: NewPush,
    code: Refusal['code'],
    problems: readonly Problem[],
    hash: string | null,
    needs: Needs | null,
  ): Reported {
    const status = code === 200 ? 'applied' : 'rejected';
    return {
      ...this.reportOf(status, code, { ...push, attemptedHash: hash, needs }, problems),
      effective: this.reported().effective,
      dry_run: true,
    };
  }

  private reportOf(
    status: Status,
    code: Refusal['code'],
    about: Omit<NewPush, 'layer' | 'digest'> &
      Partial<Pick<Push, 'attemptedHash' | 'needs'>> & { readonly layer: string | null },
    problems: readonly Problem[] = [],
  ): Reported {
    const outcome = { status, code, version: about.version, kid: about.kid, token: about.token };
    const before = this.state.now.reported;
    return {
      ...outcome,
      layer: about.layer,
      attempted_hash: about.attemptedHash ?? null,
      effective_hash: this.effectiveHash,
      last_good: this.lastGood(),
      rolled_back_from: status === 'rolled_back' ? about.version : null,
      errors: [...problems].slice(0, MAX_PROBLEMS),
      needs: about.needs ?? null,
      since: new Date(this.now()).toISOString(),
      effective:
        // these do not change the running config
        status === 'rejected' || status === 'applying'
          ? (before?.effective ?? FILE_ALONE)
          : status === 'rolled_back'
            ? this.committed()
            : outcome,
      history: before?.history ?? [],
      dropped: this.dropped,
    };
  }

  private committed(): Reported['effective'] {
    const { version, kid, token } = this.state.now.current;
    return { status: 'applied', code: 200, version, kid, token };
  }

  /** The verdict of a push, and of those that it includes. */
  private withHistory(reported: Reported, push: NewPush & Partial<Pick<Push, 'includes'>>): Reported {
    const { status, code } = reported;
    const history = this.historyWith(reported, status, code, [...(push.includes ?? []), push]);
    return { ...reported, history };
  }

  private historyWith(
    { history }: Reported,
    status: Status,
    code: number,
    pushes: readonly Omit<Reported['history'][number], 'status' | 'code' | 'at'>[],
  ): Reported['history'] {
    const at = new Date(this.now()).toISOString();
    const added = pushes.map((push) => ({ status, code, ...identityOf(push), at }));
    return [...history, ...added].slice(-MAX_HISTORY);
  }

  private lastGood(): Reported['last_good'] {
    const { version, kid } = this.state.now.current;
    return { version, kid, hash: this.goodHash };
  }

  /** The agent ended before the candidate was applied: accepts the push again, although its version was seen. */
  private abandon(): void {
    const { push, handled, incoming } = this.state.now;
    const { layer, digest, includes } = this.must(push);
    const { [layer]: _, ...rest } = handled;
    if (incoming?.digest === digest) {
      // its model has arrived, so the stored push is applied without being sent again
      const reported = this.reportOf('applying', 202, incoming);
      this.state.putAnyway({ phase: 'idle', push: null, candidate: null, reported });
      return;
    }
    this.state.putAnyway({
      phase: 'idle',
      push: null,
      candidate: null,
      handled: rest,
      again: digest,
      reported: {
        ...this.reportOf('rejected', 503, { ...this.must(push) }, [
          problem('', 'the agent ended before it was applied', 'a retained push is applied automatically'),
        ]),
        // Also if another push was on probation: the agent has started with the committed config.
        effective: this.committed(),
        history: this.interrupted(includes),
      },
    });
  }

  /** Older pushes of the abandoned one: those that ran on probation no longer run; the others never did. */
  private interrupted(includes: Push['includes']): Reported['history'] {
    const reported = this.reported();
    const ran = includes.filter((one) => one.ran === true);
    const history = this.historyWith(reported, 'rolled_back', 500, ran);
    const never = includes.filter((one) => one.ran !== true);
    return this.historyWith({ ...reported, history }, 'rejected', 503, never);
  }

  /** Clears the waiting push if it is one of these. */
  private arrived(pushes: readonly Pick<NewPush, 'digest'>[]): Partial<Pick<State, 'incoming'>> {
    const { incoming } = this.state.now;
    return pushes.some(({ digest }) => digest === incoming?.digest) ? { incoming: null } : {};
  }

  private spent(pushes: readonly NewPush[]): Pick<State, 'versions' | 'handled'> {
    const versions: Versions = structuredClone(this.state.now.versions);
    const handled = { ...this.state.now.handled };
    for (const { layer, kid, version, digest } of pushes) {
      handled[layer] = digest;
      if (version === null) continue;
      const name = kid ?? UNSIGNED;
      versions[layer] = { ...versions[layer], [name]: Math.max(version, versions[layer]?.[name] ?? 0) };
    }
    return { versions, handled };
  }

  private must<T>(value: T | null): T {
    if (value === null) throw new Error(`remote config: no push in phase ${this.phase}`);
    return value;
  }
}

const identityOf = ({ layer, version, kid, token }: Omit<NewPush, 'digest'>): Omit<NewPush, 'digest'> => ({
  layer,
  version,
  kid,
  token,
});

const pushOf = (push: NewPush): Push => ({
  ...identityOf(push),
  digest: push.digest,
  attemptedHash: null,
  probationMs: 0,
  needs: null,
  baseline: null,
  problems: [],
  includes: [],
});

const NO_PUSH = { layer: null, version: null, kid: null, token: null };
