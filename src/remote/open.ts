/**
 * Opens remote config before the agent starts: reads the state of pushes, counts the start, and computes the effective
 * config. Falls back to the local file, which is always valid.
 */
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../config/index.ts';
import { makeFolder, unlessAbsent, writeFileAtomic } from '../system/files.ts';
import { effectiveConfig, type Layers, type LocalFile, layerOrder, tryEffective } from './layers.ts';
import { DAMAGED, PushLifecycle } from './push-lifecycle.ts';
import { type Folder, LOCAL_FILE_ONLY, PushState } from './push-state.ts';
import { problem, problemsText } from './verify.ts';

export interface RemoteStart {
  readonly config: Config;
  readonly hash: string;
  readonly life: PushLifecycle;
  /** Whether the config is a candidate. */
  readonly onTrial: boolean;
  /** Config that a rollback restores; null: none is on trial. */
  readonly before: Config | null;
  /** null: none. */
  readonly problem: string | null;
}

export const remoteFolder = (dataDir: string): string => join(dataDir, 'remote');

/** Permissions of the files: not secret, but only the agent needs them. */
const MODE = 0o600;

/** A folder on disk; made when first written to. */
export function diskFolder(path: string): Folder {
  return {
    read: (name) => unlessAbsent(() => readFileSync(join(path, name))),
    write: (name, bytes) => {
      makeFolder(path, 0o700);
      writeFileAtomic(join(path, name), bytes, MODE);
    },
    remove: (name) => rmSync(join(path, name), { force: true }),
    list: () => unlessAbsent(() => readdirSync(path)) ?? [],
  };
}

/**
 * @param local the local file alone, which is valid
 * @param now wall clock, ms
 */
export function openRemote(folder: Folder, file: LocalFile, local: Config, now: () => number): RemoteStart {
  const life = new PushLifecycle(folder, now);
  const order = layerOrder(local.remote_config.groups);
  let { slot, layers, damage } = life.recover();
  if (slot === 'candidate') {
    const tried = tryEffective(file, layers, order);
    if (!('problems' in tried)) {
      const good = tryEffective(file, life.current().layers, order);
      const before = 'problems' in good ? effectiveConfig(file, {}, order) : good;
      life.goesBackTo(before.hash);
      return {
        config: tried.config,
        hash: tried.hash,
        life,
        onTrial: true,
        before: before.config,
        problem: damage,
      };
    }
    life.rollBack([problem('', problemsText(tried.problems))]);
    life.rolledBack();
    ({ slot, layers, damage } = life.current());
  }
  const found = tryEffective(file, layers, order);
  if (!('problems' in found)) {
    if (life.isDamaged) life.fileAlone(DAMAGED, found.hash);
    return { config: found.config, hash: found.hash, life, onTrial: false, before: null, problem: damage };
  }
  const alone = effectiveConfig(file, {}, order);
  const reason = `the remote layers are invalid on the local file, which applies alone: ${problemsText(found.problems)}`;
  life.fileAlone(reason, alone.hash);
  return { config: alone.config, hash: alone.hash, life, onTrial: false, before: null, problem: damage };
}

/** The layers of the next start, without counting a start; for read-only commands. */
export function readLayers(folder: Folder): Layers {
  const state = new PushState(folder);
  const { phase, candidate, current } = state.now;
  const trial = phase === 'applying' || phase === 'probation';
  return state.layersOf((trial ? candidate : current) ?? LOCAL_FILE_ONLY) ?? {};
}
