/** The model registry of a command. */
import { join } from 'node:path';
import type { Command } from 'commander';
import type { ModelRegistry } from '../../model/registry.ts';
import { dataDirOf } from './globals.ts';

/** The shipped models and those of the command's data directory. */
export async function registryOf(command: Command): Promise<ModelRegistry> {
  return modelRegistry(await dataDirOf(command));
}

export async function modelRegistry(dataDir: string | undefined): Promise<ModelRegistry> {
  const { ModelRegistry } = await import('../../model/registry.ts');
  return new ModelRegistry(dataDir === undefined ? null : join(dataDir, 'models'));
}
