/** Runs the agent until a signal stops it. Used by `run` and `demo`. */
import type { Agent, AgentOptions } from '../../agent/contract.ts';
import { errorFields, errorText, GatecastError } from '../../errors.ts';
import { systemClock } from '../../system/clock.ts';
import { catchHangups, onHangup } from '../../system/hangups.ts';
import { settleHeap } from '../../system/heap.ts';
import { agentLog, logCrashes, logFailure } from './agent-log.ts';
import { untilSignal } from './until-signal.ts';
import { VERSION } from './version.ts';

/** What a start reads: the config, from its file or with the layers of remote config, and the keys. */
export type StartOptions = Pick<AgentOptions, 'config' | 'configFile' | 'document' | 'remote' | 'keys'>;

/** SIGHUP reads `configFile` again; without a file, SIGHUP (a closed terminal) stops the agent. */
interface RunOptions extends StartOptions, Pick<AgentOptions, 'fallbackPorts' | 'onForecast'> {
  /** Reads the config for a restart; without it, a restart ends the program. */
  readonly again?: () => Promise<StartOptions>;
  readonly onStarted?: (pageUrl: string | null) => void;
}

/** Maximum time for which a start continues after a stop signal, ms. */
const START_PATIENCE_MS = 4000;
/** Makes systemd restart the service (`Restart=on-failure`); EX_TEMPFAIL of sysexits.h. */
const RESTART_EXIT_CODE = 75;

export async function runAgent(options: RunOptions): Promise<void> {
  const [{ startAgent }, { configWarnings }] = await Promise.all([
    import('../../agent.ts'),
    import('../../config/index.ts'),
  ]);
  const { again, fallbackPorts, onStarted, onForecast, ...first } = options;
  const { config, configFile } = first;
  let current = config;
  const log = agentLog(() => current);
  const unhookCrashes = logCrashes(log, () => current.log.format);
  for (const { path, message } of configWarnings(config)) log.warn('config', { key: path, reason: message });
  // Installed before the start, so that a signal during it is not lost. A long start (a replay after a crash) is aborted:
  // it has acknowledged no message yet, and the next start replays the same data.
  const { received: signal, unhook: unhookStop } = untilSignal([
    'SIGTERM',
    'SIGINT',
    ...(configFile === undefined ? (['SIGHUP'] as const) : []),
  ]);
  const unhookHangups = configFile === undefined ? () => {} : catchHangups();
  let endReloads = (): void => {};
  let started = false;
  void signal.then(() => setTimeout(() => started || process.exit(0), START_PATIENCE_MS).unref());
  let start: StartOptions = first;
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
          current = changed;
        },
        onRestart: (reason) => restart(reason),
        fallbackPorts,
        onForecast,
      });
    } catch (error) {
      if (again === undefined || !rollsBack(start.remote, error)) {
        unhookCrashes();
        unhookStop();
        unhookHangups();
        throw current.log.format === 'text' ? error : logFailure(log, error);
      }
      log.error('the pushed config does not start', { ...errorFields(error) });
      start = await again();
      continue;
    }
    started = true;
    if (configFile !== undefined) endReloads = onHangup(() => agent.reload());
    settleHeap();
    onStarted?.(agent.pageUrl);
    const stop = await Promise.race([
      signal.then((name) => ({ signal: name })),
      restarted.then((reason) => ({ reason })),
    ]);
    log.info('signal' in stop ? 'stopping' : 'restarting', stop);
    endReloads();
    await agent.stop();
    log.info('stopped');
    if ('signal' in stop || again === undefined) return;
    if (process.env.NOTIFY_SOCKET !== undefined) {
      process.exitCode = RESTART_EXIT_CODE;
      return;
    }
    start = await again();
    current = start.config;
  }
}

/** Rolls back a pushed config on probation that does not start. @returns whether it did */
function rollsBack(remote: StartOptions['remote'], error: unknown): boolean {
  if (remote === undefined || !remote.opened.life.onTrial) return false;
  if (error instanceof GatecastError && error.code === 'LOCKED') return false;
  remote.opened.life.rollBack([
    { path: '', text: `the agent does not start with it: ${errorText(error)}`, hint: '' },
  ]);
  remote.opened.life.rolledBack();
  return true;
}
