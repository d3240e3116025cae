// install.sh on systems whose Node is missing or too old, such as Debian 12 (18.19): it names the Node it found, the one it needs, and how to get it.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { tempDirs } from '../support/temp.ts';

const tempDir = tempDirs();

/** Runs install.sh with the programs of this machine and with another `node`, or none. */
function install(node: string | null): { status: number | null; said: string; root: string } {
  const dir = tempDir();
  const bin = join(dir, 'bin');
  const root = join(dir, 'root');
  mkdirSync(bin);
  for (const folder of ['/usr/bin', '/bin'])
    for (const name of existsSync(folder) ? readdirSync(folder) : [])
      if (!/^(node|nodejs|npm|npx)$/.test(name) && !existsSync(join(bin, name)))
        symlinkSync(join(folder, name), join(bin, name));
  if (node !== null) {
    // As that version would see itself.
    const past = join(dir, 'past.cjs');
    writeFileSync(past, `Object.defineProperty(process, 'versions', { value: { node: '${node}' } });\n`);
    const script = `#!/bin/sh\n[ "$1" != --version ] || { echo v${node}; exit; }\nexec '${process.execPath}' -r '${past}' "$@"\n`;
    writeFileSync(join(bin, 'node'), script, { mode: 0o755 });
  }
  const { status, stdout, stderr } = spawnSync('/bin/sh', ['deploy/install.sh', '--root', root], {
    encoding: 'utf8',
    env: { PATH: bin },
  });
  return { status, said: stdout + stderr, root };
}

it.each(['18.19.0', '12.22.9', '20.18.3'])(
  'Node %s is too old: says so, and how to get another',
  (version) => {
    const { status, said, root } = install(version);
    expect(status).toBe(1);
    expect(said).toMatch(
      new RegExp(`node is v${version.replaceAll('.', '\\.')}, too old: 20\\.19 or newer is needed`),
    );
    expect(said).toMatch(/install Node 22 for the whole machine: https:\/\/nodejs\.org/);
    expect(existsSync(root)).toBe(false);
  },
);

it('says which Node it needs where there is none', () => {
  const { status, said } = install(null);
  expect(status).toBe(1);
  expect(said).toMatch(/Node 20 \(from 20\.19\), 22 or 24 is not on the PATH; install Node 22/);
});
