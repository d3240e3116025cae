/** Where a command finds its models. */
import { join } from 'node:path';
import type { ModelRegistry } from '../../model/registry.ts';

export async function modelRegistry(dataDir: string | undefined): Promise<ModelRegistry> {
  const { ModelRegistry } = await import('../../model/registry.ts');
  return new ModelRegistry(dataDir === undefined ? null : join(dataDir, 'models'));
}
