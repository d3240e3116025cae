/** A folder for the demo's data. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Runs `action` in `wanted`, or in a temporary folder that is removed afterwards. */
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
