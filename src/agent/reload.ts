/** Reading the config file again: what of it a running agent takes up, and what waits for its next start. */
import { isDeepStrictEqual } from 'node:util';
import { type Config, type ConfigDiff, diffConfig, takeHot } from '../config/index.ts';
import { errorText, GatecastError } from '../errors.ts';
import type { Logger } from '../log.ts';

export interface ConfigFile {
  readonly path: string;
  /** @throws GatecastError FILE_UNREADABLE, CONFIG_INVALID */
  readonly read: () => Config;
}

/** For an owner: paths of changed keys, and the streams that are not read any more. */
export interface Reloaded extends ConfigDiff {
  readonly removed: readonly string[];
}

export interface ReloadParts {
  readonly file: ConfigFile | undefined;
  readonly running: Config;
  /** Takes up what is hot; gives back the streams that are not read any more. */
  readonly take: (next: Config) => Promise<readonly string[]>;
  readonly restartTuning: () => Promise<void>;
  readonly log: Logger;
}

/** @throws GatecastError USAGE without a file, FILE_UNREADABLE, CONFIG_INVALID; the running config is then as it was */
export async function reload({ file, running, take, restartTuning, log }: ReloadParts): Promise<Reloaded> {
  if (file === undefined) throw new GatecastError('USAGE', 'The agent runs without a config file.');
  const wanted = file.read();
  const { hot, reconnect, restart } = diffConfig(running, wanted);
  if (hot.length + reconnect.length === 0) return { hot, reconnect, restart, removed: [] };
  const next = takeHot(running, wanted);
  const removed = await take(next);
  if (!isDeepStrictEqual(running.finetune, next.finetune)) await restartTuning();
  log.info('config reloaded', { hot: hot.join(' '), restart: restart.join(' ') });
  return { hot, reconnect, restart, removed };
}

export interface ConfigureParts extends Pick<ReloadParts, 'running' | 'take' | 'restartTuning'> {
  readonly wanted: Config;
  /** Only says what it would take. */
  readonly dryRun: boolean;
  readonly registry: { has(name: string): boolean };
}

/** Goes over to `wanted` as far as a running agent can, or says why not. Never rejects. */
export async function configure({
  running,
  wanted,
  dryRun,
  take,
  restartTuning,
  registry,
}: ConfigureParts): Promise<ConfigDiff & { errors: { path: string; message: string }[] }> {
  const diff = diffConfig(running, wanted);
  const errors: { path: string; message: string }[] = [];
  if (wanted.model.name !== running.model.name && !registry.has(wanted.model.name))
    errors.push({ path: 'model.name', message: `there is no model '${wanted.model.name}' on this gateway` });
  if (errors.length > 0 || dryRun || diff.hot.length === 0) return { ...diff, errors };
  try {
    const next = takeHot(running, wanted);
    await take(next);
    if (!isDeepStrictEqual(running.finetune, next.finetune)) await restartTuning();
  } catch (error) {
    errors.push({ path: '', message: errorText(error) });
  }
  return { ...diff, errors };
}
