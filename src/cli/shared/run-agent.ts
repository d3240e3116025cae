/** Starts the agent, waits for the signal to stop, stops it. What `run` and `demo` share. */
import type { ConfigFile } from '../../agent/configure.ts';
import type { Agent } from '../../agent/contract.ts';
import type { RemoteSession } from '../../agent/remote.ts';
import type { Config } from '../../config/index.ts';
import { errorText, GatecastError } from '../../errors.ts';
import type { Forecast } from '../../forecast/forecast.ts';
import type { KeySet } from '../../remote/keys.ts';
import type { JsonObject } from '../../remote/merge-patch.ts';
import { settleHeap } from '../../system/heap.ts';
import { untilSignal } from './until-signal.ts';
import { VERSION } from './version.ts';

type StartOptions = Pick<RunOptions, 'config' | 'configFile' | 'document' | 'remote' | 'keys'>;

export interface RunOptions {
  readonly config: Config;
  /** Read again by the request `reload`, and on SIGHUP; without it SIGHUP (the terminal is closed) stops the agent. */
  readonly configFile?: ConfigFile;
  /** The config as its file states it, for the page. */
  readonly document?: () => JsonObject;
  readonly remote?: RemoteSession;
  /** Keys that may sign requests. */
  readonly keys?: KeySet;
  /** The config of another start, where one is asked for; without it a restart ends the program. */
  readonly again?: () => Promise<StartOptions>;
  /** How many ports after the configured one the page may take. */
  readonly fallbackPorts?: number;
  readonly onStarted?: (pageUrl: string | null) => void;
  readonly onForecast?: (forecast: Forecast) => void;
}

/** How long a start may go on after the signal to stop, ms. */
const START_PATIENCE_MS = 4000;
/** systemd starts the service again after it (`Restart=on-failure`); EX_TEMPFAIL of sysexits.h. */
const RESTART_EXIT_CODE = 75;

export async function runAgent(options: RunOptions): Promise<void> {
  const [{ startAgent }, { configWarnings }, { createLogger }, { systemClock }] = await Promise.all([
    import('../../agent.ts'),
    import('../../config/index.ts'),
    import('../../log.ts'),
    import('../../system/clock.ts'),
  ]);
  const { config, configFile, document, remote, keys, again, fallbackPorts, onStarted, onForecast } = options;
  let { level } = config.log;
  const log = createLogger({
    level: () => level,
    write: (line) => process.stderr.write(line),
    now: systemClock.now,
    journald: process.env.JOURNAL_STREAM !== undefined,
  });
  for (const { path, message } of configWarnings(config)) log.warn('config', { key: path, message });
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
  let start: StartOptions = {
    config,
    ...(configFile && { configFile }),
    ...(document && { document }),
    ...(remote && { remote }),
    ...(keys && { keys }),
  };
  for (;;) {
    let restart: (reason: string) => void = () => {};
    const restarted = new Promise<string>((resolve) => {
      restart = resolve;
    });
    let agent: Agent;
    try {
      agent = await startAgent({
        ...start,
        version: VERSION,
        clock: systemClock,
        log,
        onConfig: (changed) => {
          level = changed.log.level;
        },
        onRestart: (reason) => restart(reason),
        ...(fallbackPorts === undefined ? {} : { fallbackPorts }),
        ...(onForecast === undefined ? {} : { onForecast }),
      });
    } catch (error) {
      if (again === undefined || !goesBack(start.remote, error)) throw error;
      log.error('the pushed config does not start', { reason: errorText(error) });
      start = await again();
      continue;
    }
    started = true;
    reload = () => agent.reload();
    if (early) reload();
    early = false;
    settleHeap();
    onStarted?.(agent.pageUrl);
    const stop = await Promise.race([
      signal.then((name) => ({ signal: name })),
      restarted.then((reason) => ({ reason })),
    ]);
    log.info('signal' in stop ? 'stopping' : 'restarting', stop);
    reload = () => {};
    await agent.stop();
    log.info('stopped');
    if ('signal' in stop || again === undefined) return;
    if (process.env.NOTIFY_SOCKET !== undefined) {
      process.exitCode = RESTART_EXIT_CODE;
      return;
    }
    start = await again();
    level = start.config.log.level;
  }
}

/** A pushed config that is on probation and does not start gives way to the committed one. */
function goesBack(remote: RemoteSession | undefined, error: unknown): boolean {
  if (remote === undefined || !remote.opened.life.onTrial) return false;
  if (error instanceof GatecastError && error.code === 'LOCKED') return false;
  remote.opened.life.rollBack([
    { path: '', text: `the agent does not start with it: ${errorText(error)}`, hint: '' },
  ]);
  remote.opened.life.rolledBack();
  return true;
}
