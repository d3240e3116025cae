// The container image: docker reads .dockerignore, and podman reads .containerignore first.
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

it('docker and podman leave the same files out of the build', () => {
  const ignored = readFileSync('.containerignore', 'utf8');
  expect(readFileSync('.dockerignore', 'utf8')).toBe(ignored);
  // The compiled modules of this machine would replace the ones that the build compiles.
  expect(ignored.split('\n')).toContain('node_modules');
});
