/** The config of an agent's start: the local file, overlaid with the stored layers of remote config. */
import { resolve } from 'node:path';
import type { StartOptions } from './run-agent.ts';

type Start = StartOptions & Required<Pick<StartOptions, 'configFile' | 'document'>>;

/**
 * Counts a start of a config on probation. Call it once per start.
 * @throws GatecastError FILE_UNREADABLE, CONFIG_INVALID, LOCKED
 */
export async function openStart(path: string, dataDir: string | undefined): Promise<Start> {
  const { readConfig } = await import('../../config/index.ts');
  const environment = dataDir === undefined ? {} : { GATECAST_DATA_DIR: dataDir };
  const { document, folder, config: local } = readConfig(path, environment);
  let stated = document;
  const name = resolve(path);
  const fileAlone: Start = {
    config: local,
    configFile: {
      path: name,
      read: () => {
        const next = readConfig(path, environment);
        stated = next.document;
        return next.config;
      },
    },
    document: () => stated,
  };
  if (!local.remote_config.enabled && !local.requests.signed) return fileAlone;
  const { loadKeys } = await import('../../remote/keys.ts');
  const keys = loadKeys(local.remote_config.keys);
  if (!local.remote_config.enabled) return { ...fileAlone, keys };
  const [{ openRemote, diskFolder, remoteFolder }, { lockDataDir }, { layerOrder, effectiveConfig }] =
    await Promise.all([
      import('../../remote/open.ts'),
      import('../../store/lock.ts'),
      import('../../remote/layers.ts'),
    ]);
  let file = { document, folder, dataDir: local.data_dir };
  // A second daemon on the same data directory must not count as a start.
  const lock = lockDataDir(local.data_dir);
  try {
    const opened = openRemote(diskFolder(remoteFolder(local.data_dir)), file, local, () => Date.now());
    const order = layerOrder(local.remote_config.groups);
    return {
      config: opened.config,
      configFile: {
        path: name,
        read: () => {
          const next = readConfig(path, environment);
          const wanted = { document: next.document, folder, dataDir: local.data_dir };
          const { config } = effectiveConfig(wanted, opened.life.running(), order);
          file = wanted;
          return config;
        },
      },
      document: () => file.document,
      remote: { opened, keys, local, file: () => file },
      keys,
    };
  } finally {
    lock.release();
  }
}
