/** Reading the config file again: what of it a running agent takes up, and what waits for its next start. */
import { type Config, type ConfigDiff, diffConfig, takeHot } from '../config/index.ts';
import { GatecastError } from '../errors.ts';

export interface ConfigFile {
  readonly path: string;
  /** @throws GatecastError FILE_UNREADABLE, CONFIG_INVALID */
  readonly read: () => Config;
}

/** For an owner: paths of changed keys, and the streams that are not read any more. */
export interface Reloaded extends ConfigDiff {
  readonly removed: readonly string[];
}

/** @throws GatecastError USAGE without a file, FILE_UNREADABLE, CONFIG_INVALID; the running config is then as it was */
export function readAgain(
  file: ConfigFile | undefined,
  running: Config,
): { readonly diff: ConfigDiff; readonly next: Config } {
  if (file === undefined) throw new GatecastError('USAGE', 'The agent runs without a config file.');
  const wanted = file.read();
  return { diff: diffConfig(running, wanted), next: takeHot(running, wanted) };
}
