/** The network of the base model that ships, or null where none is there yet. */
import { existsSync, readFileSync } from 'node:fs';
import { parseManifest } from '../../src/model/manifest.ts';
import type { NetworkSpec } from '../../src/network/spec.ts';

export function shippedSpec(): NetworkSpec | null {
  const path = 'models/base/manifest.json';
  return existsSync(path) ? parseManifest(readFileSync(path, 'utf8'), path).spec : null;
}
