/**
 * Goes from one config to another: all parts prepare, then all changes apply, or none. Reload, remote config and rollback are
 * this same call with another config.
 */
import { type Config, diffConfig, takeHot } from '../config/index.ts';
import { errorText, GatecastError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Change, ConfigError, ConfigResult, ConfigureOptions, Part } from './part.ts';

/** A config file that can be read again. */
export interface ConfigFile {
  readonly path: string;
  /** @throws GatecastError FILE_UNREADABLE, CONFIG_INVALID */
  readonly read: () => Config;
}

export interface ConfigurerParts {
  readonly config: Config;
  /** In the order of `apply`. */
  readonly parts: () => readonly Part[];
  /** Names of the streams that are forecast. */
  readonly streams: () => readonly string[];
  /** What no part sees: keys that wait for the next start. @returns why they cannot be used */
  readonly check?: (wanted: Config, running: Config) => readonly ConfigError[];
  /** Runs an action while no round of forecasts runs. */
  readonly between: <T>(action: () => Promise<T>) => Promise<T>;
  /** Called when a config has been applied, with the streams that it does not read any more. */
  readonly applied: (running: Config, removed: readonly string[]) => void;
  readonly log: Logger;
}

const UNSURE = 'Correct the key, or keep the former value.';

export class Configurer {
  /** The config that runs. */
  running: Config;
  private last: Promise<unknown> = Promise.resolve();

  constructor(private readonly parts: ConfigurerParts) {
    this.running = parts.config;
  }

  /** Never rejects: what keeps the config from being applied is in `errors`, and nothing has changed then. */
  configure(wanted: Config, { dryRun = false }: ConfigureOptions = {}): Promise<ConfigResult> {
    const result = this.last.then(() => this.go(wanted, dryRun));
    this.last = result;
    return result;
  }

  private async go(wanted: Config, dryRun: boolean): Promise<ConfigResult> {
    const former = this.running;
    const diff = diffConfig(former, wanted);
    const result = { ...diff, errors: [], former, running: former, removed: [] };
    const refused = this.parts.check?.(wanted, former) ?? [];
    const changed = [...diff.hot, ...diff.reconnect];
    if (changed.length === 0) return { ...result, errors: refused };
    const next = takeHot(former, wanted);
    const { changes, errors: found } = await this.prepare(next, former, changed, dryRun);
    const errors = [...refused, ...found];
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
      return { ...result, errors: errorsOf('agent', error, changed) };
    }
  }

  /** Every part is asked, so that the owner sees all errors at once. */
  private async prepare(
    next: Config,
    running: Config,
    changed: readonly string[],
    dryRun: boolean,
  ): Promise<{ changes: [Part, Change][]; errors: ConfigError[] }> {
    const changes: [Part, Change][] = [];
    const errors: ConfigError[] = [];
    for (const part of this.parts.parts()) {
      try {
        const change = await part.prepare?.(next, running, { dryRun });
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
    const { log, streams, applied } = this.parts;
    const before = streams();
    this.running = next;
    for (const [part, change] of changes) {
      try {
        await change.apply();
      } catch (error) {
        // A broken promise of the part: the other parts go on, so that one config runs everywhere.
        log.error('config not applied', { part: part.name, reason: errorText(error) });
      }
    }
    const now = new Set(streams());
    const removed = before.filter((name) => !now.has(name));
    applied(next, removed);
    log.info('config applied', {
      hot: result.hot.join(' '),
      reconnect: result.reconnect.join(' '),
      restart: result.restart.join(' '),
    });
    return { ...result, running: next, removed };
  }

  private async discard(changes: readonly [Part, Change][]): Promise<void> {
    for (const [part, change] of [...changes].reverse()) {
      try {
        await change.discard?.();
      } catch (error) {
        this.parts.log.error('config change not discarded', { part: part.name, reason: errorText(error) });
      }
    }
  }
}

/** An error without issues is put to all keys that changed. */
function errorsOf(part: string, error: unknown, changed: readonly string[]): ConfigError[] {
  const known = error instanceof GatecastError ? error : null;
  const hint = known?.hint || UNSURE;
  const issues = known?.issues ?? [];
  if (issues.length === 0) return [{ part, path: changed.join(' '), message: errorText(error), hint }];
  return issues.map((issue) => ({ part, ...issue, hint }));
}
