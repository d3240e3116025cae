/** Publishes health, scores, alerts and the status of fine-tuning at intervals. Also trims the store. */
import { errorFields } from '../errors.ts';
import type { Engine } from '../forecast/engine.ts';
import type { StreamView } from '../forecast/engine-contract.ts';
import { SCORE_MEMORY } from '../forecast/track.ts';
import type { Logger } from '../log.ts';
import type { Outputs } from '../outputs/outputs.ts';
import type { Store } from '../store/store-contract.ts';
import type { Clock } from '../system/clock.ts';
import { type Alerts, type Condition, rolledBack, silentRules, staleStreams, streamLimit } from './alerts.ts';
import type { ClockHold } from './clock-hold.ts';
import { every } from './every.ts';
import { GROUP } from './groups.ts';
import type { Health } from './health.ts';
import { type AgentModels, publishedName } from './model.ts';
import type { Context, Part } from './part.ts';
import type { AgentRemote } from './remote.ts';
import type { AgentStreams } from './streams.ts';
import type { TuningPart } from './tuning.ts';

interface ReportsParts extends Pick<Context, 'config' | 'version' | 'clock' | 'log' | 'between'> {
  readonly hold: Pick<ClockHold, 'closeUntil'>;
  readonly alerts: Alerts;
  readonly health: Health;
  /** Null where remote config is switched off. */
  readonly remote: Pick<AgentRemote, 'conditions'> | null;
  readonly outputs: Outputs;
  readonly engine: Pick<Engine, 'streams' | 'scores'>;
  readonly streams: AgentStreams;
  readonly models: AgentModels;
  readonly store: Pick<Store, 'trim'>;
  readonly tuning: TuningPart;
}

const ALERTS_MS = 5000;
const HEALTH_MS = 60_000;
const SCORES_MS = 1000;
const GROUP_MS = 300_000;

export class Reports implements Part {
  readonly name = 'reports';
  private readonly turns = new ScoreTurns();
  private ends: readonly (() => void)[] = [];
  /** Whether the published health message says that something is wrong. */
  private isDegraded = false;
  /** The rules, and since when they apply, ms on the monotonic clock. */
  private rules: { readonly router: AgentStreams['router']; readonly sinceMs: number } | null = null;

  constructor(private readonly parts: ReportsParts) {}

  /** Publishes the health message at once, the rest when due. */
  start(): void {
    const { clock, log, health, engine, store, tuning } = this.parts;
    this.ends = [
      every(clock, ALERTS_MS, () => this.checkAlerts(), log),
      every(clock, HEALTH_MS, () => this.publishHealth(), log),
      every(clock, SCORES_MS, () => this.publishScores(), log),
      every(clock, GROUP_MS, () => tuning.publishStatus(), log),
      every(clock, HEALTH_MS, () => void store.trim(clock.now()), log),
      every(clock, ALERTS_MS, () => this.readMissedList(), log),
      warnOfSilence({
        clock,
        log,
        streams: () => (this.parts.config().site === undefined ? engine.streams().length : 1),
        connected: () => health.pageStatus().broker.connected,
      }),
    ];
    this.publishHealth();
  }

  stop(): void {
    for (const end of this.ends) end();
  }

  private readMissedList(): void {
    const { streams, between, log } = this.parts;
    if (!streams.isListUnread) return;
    between(() => streams.readMissedList()).catch((error) =>
      log.info('list of streams not read', errorFields(error)),
    );
  }

  /** Raises and clears alerts. */
  checkAlerts(): void {
    // Before the start, what the former run has raised may seem to be over.
    if (this.ends.length === 0) return;
    const { config, clock, hold, alerts, health, remote, streams, engine, models } = this.parts;
    const { model, max_streams } = config();
    const problems = health.problems();
    alerts.check([
      ...problems,
      ...(problems.some(({ id }) => id === 'subscription') ? [] : this.silent()),
      ...(remote?.conditions() ?? []),
      ...rolledBack(models.slots.get(GROUP, model.name)),
      ...streamLimit(streams.router, max_streams),
      // During a backlog, queued messages may not have arrived yet.
      ...(hold.closeUntil() !== null ? staleStreams(engine.streams(), clock.now()) : []),
    ]);
    if (health.degraded().length > 0 !== this.isDegraded) this.publishHealth();
  }

  private silent(): Condition[] {
    const { config, clock, streams, health } = this.parts;
    const { router } = streams;
    const nowMs = clock.monotonic();
    if (this.rules?.router !== router) this.rules = { router, sinceMs: nowMs };
    // the bridge of a site knows its streams, not the agent
    if (config().site !== undefined || !health.pageStatus().broker.connected) return [];
    return silentRules(router.unheard(), nowMs - this.rules.sinceMs);
  }

  private publishHealth(): void {
    const { outputs, health, models, version } = this.parts;
    const message = health.message();
    this.isDegraded = message.state === 'degraded';
    outputs.health({ ...message, model: publishedName(models.current, version) });
  }

  private publishScores(): void {
    const { outputs, engine, clock } = this.parts;
    for (const name of this.turns.next(() => engine.streams(), clock.monotonic())) {
      const scores = engine.scores(name);
      if (scores.length > 0) outputs.score(name, scores, SCORE_MEMORY);
    }
  }
}

/** Shortest time between publications of a stream's scores, ms. */
const LEAST_MS = 10_000;
/** Time within which the scores of all streams are published, ms. */
const MOST_MS = 300_000;
const LEAST_A_TURN = 10;

/** Selects the streams whose scores are due: those with new buckets, in turns if there are many streams. */
export class ScoreTurns {
  private queue: string[] = [];
  private beganMs = Number.NEGATIVE_INFINITY;
  /** Number of buckets of each stream when its scores were last published. */
  private published = new Map<string, number>();

  /** Call every SCORES_MS. @param views called once for each round of turns */
  next(views: () => readonly StreamView[], monotonicMs: number): string[] {
    if (this.queue.length === 0) {
      if (monotonicMs - this.beganMs < LEAST_MS) return [];
      this.beganMs = monotonicMs;
      const now = new Map(views().map(({ spec, bucketsSeen }) => [spec.name, bucketsSeen]));
      this.queue = [...now.keys()].filter((name) => now.get(name) !== this.published.get(name));
      this.published = now;
    }
    return this.queue.splice(
      0,
      Math.max(LEAST_A_TURN, Math.ceil((this.published.size * SCORES_MS) / MOST_MS)),
    );
  }
}

/** Delay of the warning: long enough for slow sensors, short enough for a user who watches the first start. */
const PATIENCE_MS = 120_000;

interface SilenceParts {
  readonly clock: Pick<Clock, 'after'>;
  readonly log: Pick<Logger, 'warn'>;
  /** Number of streams found so far, including earlier runs. */
  readonly streams: () => number;
  /** Whether the broker is connected; without a broker there is already a log message. */
  readonly connected: () => boolean;
}

/**
 * Logs once when the broker is connected but no message matches a rule: the most common fault of a new config.
 * @returns cancels the timer
 */
export function warnOfSilence({ clock, log, streams, connected }: SilenceParts): () => void {
  return clock.after(PATIENCE_MS, () => {
    if (streams() > 0 || !connected()) return;
    log.warn('no reading so far', {
      seconds: PATIENCE_MS / 1000,
      hint: '`gatecast check -c FILE --listen 60s` shows the incoming messages and how the rules read them',
    });
  });
}
