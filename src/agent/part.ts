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
  /** As errors, logs and alerts name it. */
  readonly name: string;
  /** Called once, before the first message. A part that throws ends the start; the parts before it are stopped. */
  start?(context: Context): void | Promise<void>;
  /** Must be done within 2 s. */
  stop?(): void | Promise<void>;
  /**
   * Makes everything ready for `next` and changes nothing: what can fail, fails here (a port that is taken, a model that does
   * not load). Called for every config change, while forecasts go on; compare `next` with `running` to see what changed for this
   * part.
   * @returns null when nothing changes for this part
   * @throws GatecastError whose issues name the keys and whose hint says what to do
   */
  prepare?(next: Config, running: Config, options: ConfigureOptions): Change | null | Promise<Change | null>;
  /** Another config runs: every change is applied and settled. Must not throw. */
  configured?(running: Config): void;
  /** There is a new connection to the broker; no message has come yet. The broker may have lost what it retained. Must not throw. */
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
  /** The stream is removed: release what the part holds of it, and clear what the broker retains of it. */
  forget?(stream: string): void;
}

/** Properties of a new connection to the broker. */
export interface NewConnection {
  /** It is not the first one of this run. */
  readonly again: boolean;
  /** The broker had kept the session: what arrived meanwhile comes now. */
  readonly resumed: boolean;
}

/**
 * A config change of one part, ready to happen. Either `apply` and then `settle` are called, once, or `discard`. First all parts
 * apply, then all settle, in the order of the list and while no round of forecasts runs.
 */
export interface Change {
  /** Assigns what `prepare` made, and calls nothing that can fail. It returns no promise, so no other code sees half a change. */
  apply?(): undefined;
  /**
   * Work that takes time, reads the disk or sends messages: all parts have the new config by then. A failure is logged and costs
   * the part that work only, for example the state of one stream.
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
  /** Another one for each run: tells a restart from a reconnect. */
  readonly session: string;
  /** Publishes; never blocks and never fails (see `mqtt/client.ts`). */
  readonly send: (message: Outgoing) => void;
  /** Most bytes of a message, topic and payload, that the broker takes. */
  readonly maxMessageBytes: () => number;
  /** The filters of a part changed: asks all parts again and subscribes to the difference. */
  readonly resubscribe: () => void;
  /** Runs `action` while no round of forecasts runs. Rejects as it does. @throws GatecastError BUSY while stopping */
  readonly between: <T>(action: () => T | Promise<T>) => Promise<T>;
  /** Goes over to another config, or refuses it and changes nothing. One at a time; later calls wait. Never rejects. */
  readonly configure: (wanted: Config, options?: ConfigureOptions) => Promise<ConfigResult>;
  /** Tells all parts that a stream is removed. */
  readonly forget: (stream: string) => void;
  /** Ends this run and begins another with the config as it is then: for keys that need a restart. */
  readonly restart: (reason: string) => void;
}

export interface ConfigureOptions {
  /** Only validates: prepares every part, then discards. */
  readonly dryRun?: boolean;
  /** Prove a changed broker or credential on a second connection. Left out: unless it is a dry run. */
  readonly connect?: boolean;
}

/** What became of a wanted config. */
export interface ConfigResult extends ConfigDiff {
  /** Empty: it is applied. Otherwise nothing has changed. */
  readonly errors: readonly ConfigError[];
  /** The errors say only that the agent is stopping. */
  readonly stopping?: boolean;
  /** The config before. To roll back, pass it to `configure`. */
  readonly former: Config;
  /** The config that runs now: `former` with the changed keys of `hot` and `reconnect`. */
  readonly running: Config;
  /** Streams that the new config does not read any more. */
  readonly removed: readonly string[];
}

/** Why a part refused a config: shown to the owner, so that each field can be acted on. */
export interface ConfigError extends Issue {
  readonly part: string;
  /** What to do about it. */
  readonly hint: string;
}
