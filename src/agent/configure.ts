/**
 * Changes the config of the running agent: all parts prepare the new config, then all changes apply, or none.
 * Reload, remote config and rollback all use this one call.
 */
import { type Config, diffConfig, takeHot } from '../config/index.ts';
import { errorFields, errorText, GatecastError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { StreamSpec } from '../series/spec.ts';
import type { Change, ConfigError, ConfigResult, ConfigureOptions, Context, Part } from './part.ts';

/** A config file that can be read again. */
export interface ConfigFile {
  readonly path: string;
  /** @throws GatecastError FILE_UNREADABLE, CONFIG_INVALID */
  readonly read: () => Config;
}

interface ConfigurerParts {
  /** The config that runs. The configurer alone replaces it. */
  readonly running: { config: Config };
  /** In the order of `apply`. */
  readonly parts: () => readonly Part[];
  readonly streams: () => readonly StreamSpec[];
  /** Runs an action while no round of forecasts runs. */
  readonly between: Context['between'];
  /** Calls `forget` of all parts for a removed stream. */
  readonly forget: Context['forget'];
  /** Called with the config when a change has been applied. */
  readonly onConfig: ((config: Config) => void) | undefined;
  readonly log: Logger;
}

const UNSURE = 'Correct the key, or keep the former value.';

export class Configurer {
  private last: Promise<unknown> = Promise.resolve();

  constructor(private readonly parts: ConfigurerParts) {}

  /** Never rejects: if the config cannot be applied, `errors` has the reasons, and nothing has changed. */
  configure(wanted: Config, options: ConfigureOptions = {}): Promise<ConfigResult> {
    const result = this.last.then(() => this.go(wanted, options));
    this.last = result;
    return result;
  }

  private async go(
    wanted: Config,
    { dryRun = false, connect = !dryRun, onTrial = false }: ConfigureOptions,
  ): Promise<ConfigResult> {
    const former = this.parts.running.config;
    const diff = diffConfig(former, wanted);
    const result = { ...diff, errors: [], former, running: former, removed: [] };
    const changed = [...diff.hot, ...diff.reconnect];
    if (!dryRun && diff.restart.length > 0)
      this.parts.log.warn('config change takes effect after a restart', { restart: diff.restart.join(' ') });
    if (changed.length === 0) return result;
    const next = takeHot(former, wanted);
    const { changes, errors } = await this.prepare(next, former, changed, { dryRun, connect, onTrial });
    if (errors.length > 0 || dryRun) {
      await this.discard(changes);
      if (errors.length > 0)
        this.parts.log.error('config refused', {
          errors: errors.map(({ part, path, message }) => `${part}: ${path} ${message}`).join('; '),
        });
      return { ...result, errors };
    }
    try {
      return await this.parts.between(() => this.apply(next, changes, result));
    } catch (error) {
      // The agent is stopping: nothing was applied.
      await this.discard(changes);
      return { ...result, errors: errorsOf('agent', error, changed), stopping: isStopping(error) };
    }
  }

  /** Every part prepares, so that all errors are reported at once. */
  private async prepare(
    next: Config,
    running: Config,
    changed: readonly string[],
    options: ConfigureOptions,
  ): Promise<{ changes: [Part, Change][]; errors: ConfigError[] }> {
    const changes: [Part, Change][] = [];
    const errors: ConfigError[] = [];
    for (const part of this.parts.parts()) {
      try {
        const change = await part.prepare?.(next, running, options);
        if (change != null) changes.push([part, change]);
      } catch (error) {
        errors.push(...errorsOf(part.name, error, changed));
      }
    }
    return { changes, errors };
  }

  private async apply(
    next: Config,
    changes: readonly [Part, Change][],
    result: ConfigResult,
  ): Promise<ConfigResult> {
    const { running, log, parts, streams, forget, onConfig } = this.parts;
    const names = () => streams().map(({ name }) => name);
    const before = names();
    running.config = next;
    // Without an await: no code sees some parts on the new config and some on the former one.
    for (const [part, change] of changes) this.attempt(part, () => change.apply?.());
    for (const [part, change] of changes) {
      try {
        await change.settle?.();
      } catch (error) {
        log.error('config change not settled', { part: part.name, ...errorFields(error) });
      }
    }
    const now = new Set(names());
    const removed = before.filter((name) => !now.has(name));
    for (const stream of removed) forget(stream);
    for (const part of parts()) this.attempt(part, () => part.configured?.(next));
    onConfig?.(next);
    log.info('config applied', {
      hot: result.hot.join(' '),
      reconnect: result.reconnect.join(' '),
      restart: result.restart.join(' '),
    });
    return { ...result, running: next, removed };
  }

  /** Calls a method that should not fail. If it does, the other parts continue, so that all run the same config. */
  private attempt(part: Part, action: () => void): void {
    try {
      action();
    } catch (error) {
      this.parts.log.error('config not applied', { part: part.name, ...errorFields(error) });
    }
  }

  private async discard(changes: readonly [Part, Change][]): Promise<void> {
    for (const [part, change] of [...changes].reverse()) {
      try {
        await change.discard?.();
      } catch (error) {
        this.parts.log.error('config change not discarded', { part: part.name, ...errorFields(error) });
      }
    }
  }
}

const isStopping = (error: unknown): boolean => error instanceof GatecastError && error.code === 'BUSY';

/** An error without issues is assigned to all changed keys. */
function errorsOf(part: string, error: unknown, changed: readonly string[]): ConfigError[] {
  const known = error instanceof GatecastError ? error : null;
  const hint = known?.hint || UNSURE;
  const issues = known?.issues ?? [];
  const about = { part, hint, ...(known?.code === 'BUSY' && { busy: true }) };
  if (issues.length === 0) return [{ ...about, path: changed.join(' '), message: errorText(error) }];
  return issues.map((issue) => ({ ...about, ...issue }));
}
