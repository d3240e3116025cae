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
  /** How many ports after the configured one the page may take. */
  readonly fallbackPorts?: number;
  /** The config's file, for `reload`; left out where there is none. */
  readonly configFile?: ConfigFile;
  /** The config as its file states it, for the page; left out where there is none. */
  readonly document?: () => JsonObject;
  /** Called with the config when a change has been applied. */
  readonly onConfig?: (config: Config) => void;
  /** Remote config; left out where it is switched off. */
  readonly remote?: RemoteSession;
  /** Keys that may sign requests; none where left out. */
  readonly keys?: KeySet;
  /** Called with every forecast that is published. */
  readonly onForecast?: (forecast: Forecast) => void;
  /** Called when a part asks for a restart: the owner stops this agent and starts another. */
  readonly onRestart?: (reason: string) => void;
  /** More parts, for tests: before the broker in the list. */
  readonly moreParts?: readonly Part[];
}

export interface Agent {
  /** null: the config wants no page. */
  readonly pageUrl: string | null;
  readonly parts: readonly Part[];
  readonly context: Context;
  /** Does what the request of that name does; the answer goes out as for a request. */
  reload(): void;
  /** Within 5 s: what has arrived is handled, states are saved, `offline` is published. */
  stop(): Promise<void>;
}
