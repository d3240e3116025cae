/** A folder for one run. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Runs `action` in `wanted`, or in a fresh folder that is removed after. */
export async function withFolder(
  wanted: string | undefined,
  action: (folder: string) => Promise<void>,
): Promise<void> {
  if (wanted !== undefined) return action(wanted);
  const folder = mkdtempSync(join(tmpdir(), 'gatecast-demo-'));
  try {
    await action(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
