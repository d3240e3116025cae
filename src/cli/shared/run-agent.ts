/** Starts the agent, waits for the signal to stop, stops it. What `run` and `demo` share. */
import type { ConfigFile } from '../../agent/reload.ts';
import type { Config } from '../../config/index.ts';
import type { Forecast } from '../../forecast/forecast.ts';
import { settleHeap } from '../../system/heap.ts';
import { untilSignal } from './until-signal.ts';
import { VERSION } from './version.ts';

export interface RunOptions {
  readonly config: Config;
  /** Read again by the request `reload`, and on SIGHUP; without it SIGHUP (the terminal is closed) stops the agent. */
  readonly configFile?: ConfigFile;
  /** How many ports after the configured one the page may take. */
  readonly fallbackPorts?: number;
  readonly onStarted?: (pageUrl: string | null) => void;
  readonly onForecast?: (forecast: Forecast) => void;
}

/** How long a start may go on after the signal to stop, ms. */
const START_PATIENCE_MS = 4000;

export async function runAgent(options: RunOptions): Promise<void> {
  const [{ startAgent }, { createLogger }, { systemClock }] = await Promise.all([
    import('../../agent.ts'),
    import('../../log.ts'),
    import('../../system/clock.ts'),
  ]);
  const { config, configFile, fallbackPorts, onStarted, onForecast } = options;
  let { level } = config.log;
  const log = createLogger({
    level: () => level,
    write: (line) => process.stderr.write(line),
    now: systemClock.now,
    journald: process.env.JOURNAL_STREAM !== undefined,
  });
  // Before the start, so that a signal during it is not lost. A start that takes long (a long replay after a crash)
  // is given up: nothing has been taken from the broker yet, and the next start begins where this one did.
  const signal = untilSignal([
    'SIGTERM',
    'SIGINT',
    ...(configFile === undefined ? (['SIGHUP'] as const) : []),
  ]);
  let early = false;
  let reload = (): void => {
    early = true;
  };
  if (configFile !== undefined) process.on('SIGHUP', () => reload());
  let started = false;
  void signal.then(() => setTimeout(() => started || process.exit(0), START_PATIENCE_MS).unref());
  const agent = await startAgent({
    config,
    version: VERSION,
    clock: systemClock,
    log,
    onConfig: (changed) => {
      level = changed.log.level;
    },
    ...(configFile === undefined ? {} : { configFile }),
    ...(fallbackPorts === undefined ? {} : { fallbackPorts }),
    ...(onForecast === undefined ? {} : { onForecast }),
  });
  started = true;
  reload = () => agent.reload();
  if (early) reload();
  settleHeap();
  onStarted?.(agent.pageUrl);
  log.info('stopping', { signal: await signal });
  await agent.stop();
  log.info('stopped');
}
