/** The config file with the layers pushed to this gateway, for read-only commands. */
import type { ReadConfig } from '../../config/index.ts';
import { errorText, GatecastError, issuesText } from '../../errors.ts';
import type { KeyOrigin } from '../../remote/layers.ts';

export interface Layered {
  /** Every key of the effective config, and where its value comes from. */
  readonly keys: readonly KeyOrigin[];
  /** Hash of the effective config. */
  readonly hash: string;
  /** Why the pushed layers are invalid on this file, which then applies alone; null: valid, or none. */
  readonly problem: string | null;
}

/**
 * Reads the pushed layers from the data directory if remote config is enabled and this user may read them.
 * @param dataDir from the environment; overrides the file
 */
export async function layered(
  { document, folder, config }: ReadConfig,
  dataDir: string | undefined,
): Promise<Layered> {
  const [{ effectiveConfig, keyOrigins, layerOrder }, { diskFolder, readLayers, remoteFolder }] =
    await Promise.all([import('../../remote/layers.ts'), import('../../remote/open.ts')]);
  const { enabled, groups } = config.remote_config;
  const pushed = enabled ? readLayers(diskFolder(remoteFolder(config.data_dir))) : {};
  const order = layerOrder(groups);
  const file = { document, folder, dataDir };
  const resultOf = (layers: typeof pushed, problem: string | null): Layered => ({
    keys: keyOrigins(document, layers, order, dataDir),
    hash: effectiveConfig(file, layers, order).hash,
    problem,
  });
  try {
    return resultOf(pushed, null);
  } catch (error) {
    const issues = error instanceof GatecastError ? error.issues : [];
    return resultOf({}, issues.length === 0 ? errorText(error) : issuesText(issues));
  }
}
