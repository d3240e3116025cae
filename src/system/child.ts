/** Helper processes of this program: their script and their priority. */
import { existsSync } from 'node:fs';
import { setPriority } from 'node:os';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * Arguments of Node.js, and the folder to start in, for a script of the bundle, which is next to the caller's chunk or one folder
 * above. When run from the sources, tsx loads the source instead; it is found from the caller's folder.
 *
 * @param here `import.meta.url` of the caller
 */
export function scriptArguments(
  here: string,
  bundled: string,
  source: string,
): { args: string[]; cwd: string } {
  const cwd = dirname(fileURLToPath(here));
  for (const beside of [`./${bundled}`, `../${bundled}`]) {
    const path = fileURLToPath(new URL(beside, here));
    if (existsSync(path)) return { args: [path], cwd };
  }
  return { args: ['--import', 'tsx', fileURLToPath(new URL(source, here))], cwd };
}

/** Lowers the priority of a child. No effect if it has exited. */
export function lowerPriority(pid: number | undefined, niceness: number): void {
  try {
    if (pid !== undefined) setPriority(pid, niceness);
  } catch {
    // the child has already exited
  }
}
