/** Keys that a config may set but that this version does nothing with: better said than found out. */
import type { Config } from '../../config/index.ts';

/** Warnings, one a line; empty where there is nothing to say. */
export function ignoredKeys(config: Config): string {
  return config.remote_config.enabled
    ? 'warning: remote_config.enabled: this version takes no configs from the broker yet; it has no effect\n'
    : '';
}
