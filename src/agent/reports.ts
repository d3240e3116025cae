/** What the agent says of itself on the clock: health, scores and alerts; and the trimming of the store, which is due as often. */
import type { Config } from '../config/index.ts';
import type { Engine } from '../forecast/engine.ts';
import { SCORE_MEMORY } from '../forecast/track.ts';
import type { Logger } from '../log.ts';
import type { ModelSlots } from '../model/slots.ts';
import type { Publisher } from '../mqtt/publisher.ts';
import type { Store } from '../store/store-contract.ts';
import type { Clock } from '../system/clock.ts';
import type { Alerts, Condition } from './alerts.ts';
import type { ClockHold } from './clock-hold.ts';
import { rolledBack, staleStreams, streamLimit } from './conditions.ts';
import { every } from './every.ts';
import { GROUP } from './groups.ts';
import type { Health } from './health.ts';
import { ScoreTurns } from './score-turns.ts';
import { warnOfSilence } from './silence.ts';
import type { AgentStreams } from './streams.ts';
import type { Tuning } from './tuning.ts';

export interface ReportsParts {
  readonly config: () => Config;
  readonly clock: Clock;
  readonly log: Logger;
  readonly hold: Pick<ClockHold, 'closeUntil'>;
  readonly alerts: Alerts;
  readonly health: Health;
  readonly remote: () => readonly Condition[];
  readonly publisher: Publisher;
  readonly engine: Pick<Engine, 'streams' | 'scores'>;
  readonly streams: AgentStreams;
  readonly slots: ModelSlots;
  readonly store: Pick<Store, 'trim'>;
  readonly tuning: () => Tuning;
  readonly modelName: () => { readonly id: string; readonly version: string };
}

const ALERTS_MS = 5000;
const HEALTH_MS = 60_000;
const SCORES_MS = 1000;
const GROUP_MS = 300_000;

/** Says how it is at once, and the rest when it is due. @returns the end of it */
export function startReports(parts: ReportsParts): () => void {
  const { clock, hold, alerts, health, publisher, engine, streams, slots, store, tuning, log } = parts;
  const checkAlerts = (): void => {
    const { model, max_streams } = parts.config();
    alerts.check([
      ...health.ills(),
      ...parts.remote(),
      ...rolledBack(slots.get(GROUP, model.name)),
      ...streamLimit(streams.router, max_streams),
      // What the broker kept may not have come yet.
      ...(hold.closeUntil() !== null ? staleStreams(engine.streams(), clock.now()) : []),
    ]);
  };
  const sayHealth = (): void => publisher.health({ ...health.message(), model: parts.modelName() });
  const turns = new ScoreTurns();
  const sayScores = (): void => {
    for (const name of turns.next(() => engine.streams(), clock.monotonic(), SCORES_MS)) {
      const scores = engine.scores(name);
      if (scores.length > 0) publisher.score(name, scores, SCORE_MEMORY);
    }
  };
  const ends = [
    every(clock, ALERTS_MS, checkAlerts, log),
    every(clock, HEALTH_MS, sayHealth, log),
    every(clock, SCORES_MS, sayScores, log),
    every(clock, GROUP_MS, () => tuning().say(), log),
    every(clock, HEALTH_MS, () => store.trim(clock.now()), log),
    warnOfSilence({
      clock,
      log,
      streams: () => engine.streams().length,
      connected: () => health.pageStatus().broker.connected,
    }),
  ];
  sayHealth();
  return () => {
    for (const end of ends) end();
  };
}
