/** Input and output types of the agent, for the commands that run it and for tests. */
import type { Config } from '../config/index.ts';
import type { Forecast } from '../forecast/forecast.ts';
import type { Logger } from '../log.ts';
import type { KeySet } from '../remote/keys.ts';
import type { JsonObject } from '../remote/merge-patch.ts';
import type { Clock } from '../system/clock.ts';
import type { ConfigFile } from './configure.ts';
import type { Context, Part } from './part.ts';
import type { RemoteSession } from './remote.ts';

export interface AgentOptions {
  readonly config: Config;
  readonly version: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Number of ports after the configured one that the page tries. */
  readonly fallbackPorts?: number;
  /** The config file, for `reload`; omitted if there is none. */
  readonly configFile?: ConfigFile;
  /** The config as written in its file, for the page; omitted if there is no file. */
  readonly document?: () => JsonObject;
  /** Called with the config when a change has been applied. */
  readonly onConfig?: (config: Config) => void;
  /** Remote config; omitted if it is off. */
  readonly remote?: RemoteSession;
  /** Keys that may sign requests; default: none. */
  readonly keys?: KeySet;
  /** Called with every forecast that is published. */
  readonly onForecast?: (forecast: Forecast) => void;
  /** Called when a part asks for a restart: the owner stops this agent and starts another. */
  readonly onRestart?: (reason: string) => void;
  /** More parts, for tests: before the broker in the list. */
  readonly moreParts?: readonly Part[];
}

export interface Agent {
  /** null: the page is off. */
  readonly pageUrl: string | null;
  readonly parts: readonly Part[];
  readonly context: Context;
  /** As the request `reload`, including its answer. */
  reload(): void;
  /** Handles received messages, saves the states and publishes `offline`; takes at most 5 s. */
  stop(): Promise<void>;
}
