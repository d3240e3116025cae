/**
 * A part of the agent: something that the composition root (`agent.ts`) starts, stops, and gives new configs. The root holds a
 * list of parts and calls their methods in the order of the list (`stop` in reverse order). Every method is optional: a part
 * implements only what it needs.
 *
 * Every config change (reload, remote config, rollback) is three calls: `prepare` of every part, then `apply`
 * of every change, or `discard` of every change. See `agent/configure.ts`.
 */
import type { Config, ConfigDiff } from '../config/index.ts';
import type { Issue } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Incoming } from '../mqtt/connection.ts';
import type { Outgoing } from '../mqtt/outbox.ts';
import type { Topics } from '../mqtt/topics.ts';
import type { SqliteStore } from '../store/sqlite-store.ts';
import type { Clock } from '../system/clock.ts';

export interface Part {
  /** Name in errors, logs and alerts. */
  readonly name: string;
  /** Called once, before the first message. If it throws, the start fails and the earlier parts are stopped. */
  start?(context: Context): void | Promise<void>;
  /** Must be done within 2 s. */
  stop?(): void | Promise<void>;
  /**
   * Prepares for `next` without changing anything: all possible failures occur here (a port in use, a model that does
   * not load). Called for every config change, while forecasts continue; compare `next` with `running` to see what changed for this
   * part.
   * @returns null when nothing changes for this part
   * @throws GatecastError whose issues name the keys and whose hint says what to do
   */
  prepare?(next: Config, running: Config, options: ConfigureOptions): Change | null | Promise<Change | null>;
  /** Another config runs: every change is applied and settled. Must not throw. */
  configured?(running: Config): void;
  /** There is a new connection to the broker, without messages so far. The broker may have lost its retained messages. Must not throw. */
  connected?(connection: NewConnection): void;
  /** The broker has answered the subscriptions of a new connection. Must not throw. */
  subscribed?(): void;
  /** The connection is lost, or could not be made. Must not throw. */
  disconnected?(): void;
  /** MQTT filters to subscribe to. Asked again after every config change and after `Context.resubscribe`. */
  filters?(): readonly string[];
  /**
   * Takes a message, or returns false to leave it to the parts after it in the list. A part that takes a message calls its
   * `acknowledge`. The payload is valid only until this returns. Must not throw.
   */
  receive?(message: Incoming): boolean;
  /** The stream is removed: release the part's data about it, and clear its retained messages. */
  forget?(stream: string): void;
}

export interface NewConnection {
  /** Whether it is not the first connection of this run. */
  readonly again: boolean;
  /** Whether the broker had kept the session: queued messages follow now. */
  readonly resumed: boolean;
}

/**
 * A prepared config change of one part. Either `apply` and then `settle` are called, once, or `discard`. First all parts
 * apply, then all settle, in the order of the list and while no round of forecasts runs.
 */
export interface Change {
  /** Assigns what `prepare` made, and calls nothing that can fail. Synchronous, so that no other code sees a partial change. */
  apply?(): undefined;
  /**
   * Slow work such as disk reads or sending messages: all parts have the new config by then. A failure is logged and affects
   * only that work, for example the state of one stream.
   */
  settle?(): void | Promise<void>;
  /** Another part refused the config: release what `prepare` opened. Must not fail. */
  discard?(): void | Promise<void>;
}

/** What every part may use. */
export interface Context {
  readonly version: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly store: SqliteStore;
  readonly topics: Topics;
  /** The config that runs. A config change replaces it: do not keep a copy. */
  readonly config: () => Config;
  /** When this run started, ms; changes once when the clock is set. */
  readonly since: () => number;
  /** Unique for each run: distinguishes a restart from a reconnect. */
  readonly session: string;
  /** Publishes; never blocks and never fails (see `mqtt/client.ts`). */
  readonly send: (message: Outgoing) => void;
  /** Largest message (topic and payload) that the broker accepts, bytes. */
  readonly maxMessageBytes: () => number;
  /** The filters of a part changed: asks all parts again and subscribes to the difference. */
  readonly resubscribe: () => void;
  /** Runs `action` while no round of forecasts runs. Rejects as it does. @throws GatecastError BUSY while stopping */
  readonly between: <T>(action: () => T | Promise<T>) => Promise<T>;
  /** Applies another config, or refuses it without any change. Calls run one after the other. Never rejects. */
  readonly configure: (wanted: Config, options?: ConfigureOptions) => Promise<ConfigResult>;
  /** Calls `forget` of all parts for a removed stream. */
  readonly forget: (stream: string) => void;
  /** Ends this run and starts another with the then current config: for keys that need a restart. */
  readonly restart: (reason: string) => void;
}

export interface ConfigureOptions {
  /** Only validates: prepares every part, then discards. */
  readonly dryRun?: boolean;
  /** Test a changed broker or credential on a second connection. Default: unless it is a dry run. */
  readonly connect?: boolean;
  /** The config may be rolled back: the readings of streams that it no longer reads are stored until `AgentStreams.endTrial`. */
  readonly onTrial?: boolean;
}

export interface ConfigResult extends ConfigDiff {
  /** Empty if the config is applied. Otherwise nothing has changed. */
  readonly errors: readonly ConfigError[];
  /** The errors say only that the agent is stopping. */
  readonly stopping?: boolean;
  /** The previous config. To roll back, pass it to `configure`. */
  readonly former: Config;
  /** The config that runs now: `former` with the changed keys of `hot` and `reconnect`. */
  readonly running: Config;
  /** Streams that the new config no longer reads. */
  readonly removed: readonly string[];
}

/** Why a part refused a config; shown to the owner for each key. */
export interface ConfigError extends Issue {
  readonly part: string;
  /** What to do about it. */
  readonly hint: string;
  /** Whether the same config may be accepted later. */
  readonly busy?: boolean;
}
