// docs/remote-config.md, command by command, on a broker with the access list of the page.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bytesOf } from '../../../src/remote/model-claim.ts';
import { shippedVariant, writeModelFolder } from '../../remote/models.ts';
import { hasMosquitto, type Mosquitto, startMosquitto } from '../../support/mosquitto.ts';
import { run } from '../../support/run.ts';
import { type ScriptedNode, scriptedNode } from '../../support/scripted-node.ts';
import { tempDirs } from '../../support/temp.ts';

const temp = tempDirs();
const page = readFileSync('docs/remote-config.md', 'utf8');
const blocks = [...page.matchAll(/^```(\w+) ?(\S*)\n([\s\S]*?)^```$/gm)].map(
  ([, kind = '', name = '', text = '']) => ({ kind, name, text }),
);
const commands = blocks.filter(({ kind }) => kind === 'sh').flatMap(({ text }) => text.trim().split('\n'));
const acl = blocks
  .filter(({ kind }) => kind === 'conf')
  .map(({ text }) => text)
  .join('');

/** Words as a shell would split them. */
const words = (line: string): string[] =>
  [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '');

describe.skipIf(!hasMosquitto)('docs/remote-config.md', () => {
  const home = process.cwd();
  const dir = temp();
  let broker: Mosquitto;
  const nodes: ScriptedNode[] = [];

  beforeAll(async () => {
    const files = {
      passphrase: 'a b c',
      'ops.password': 'secret-ops',
      'cellar.password': 'secret-cellar',
      acl,
    };
    for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), `${text}\n`);
    for (const { name, text } of blocks) if (name !== '') writeFileSync(join(dir, name), text);
    writeModelFolder(join(dir, 'models', 'pumps-v2'), shippedVariant('pumps-v2', 1));
    const passwords = join(dir, 'passwords');
    writeFileSync(passwords, '');
    for (const user of ['ops', 'cellar', 'attic'])
      expect(spawnSync('mosquitto_passwd', ['-b', passwords, user, `secret-${user}`]).status).toBe(0);
    broker = await startMosquitto(`password_file ${passwords}\nacl_file ${join(dir, 'acl')}`);
    process.env.GATECAST_OPERATOR_DIR = dir;
    process.chdir(dir);
  });
  afterAll(async () => {
    process.chdir(home);
    delete process.env.GATECAST_OPERATOR_DIR;
    for (const node of nodes) await node.close();
    await broker?.stop();
  });

  test('has the commands of an operator', () => {
    const verbs = commands.map((line) => words(line)[2]);
    for (const verb of ['keygen', 'show', 'push', 'status', 'history', 'rollback'])
      expect(verbs).toContain(verb);
    expect(commands.every((line) => line.startsWith('gatecast '))).toBe(true);
  });

  test('every command ends with 0', async () => {
    for (const line of commands) {
      const argv = words(line.replaceAll('mqtts://broker.lan', broker.url)).slice(1);
      // The first key is where the gateway looks for it.
      if (argv[1] === 'show') {
        const keys = readFileSync(join(dir, 'keys', 'keys.jwks'), 'utf8');
        writeFileSync(join(dir, 'keys.jwks'), keys);
      }
      const { code, both } = await run(...argv);
      expect(code, `${line}\n${both}`).toBe(0);
      if (argv[1] === 'keygen' && nodes.length === 0)
        for (const name of ['cellar', 'attic'])
          nodes.push(
            await scriptedNode({
              url: broker.url,
              name,
              group: 'pumps',
              password: `secret-${name}`,
              keys: () => JSON.parse(readFileSync(resolve(dir, 'keys/keys.jwks'), 'utf8')).keys,
            }),
          );
    }
    const [cellar, attic] = nodes;
    expect(cellar?.pushes.map(({ aud }) => aud.split(':')[0])).toEqual([
      'node',
      'fleet',
      'fleet',
      'node',
      'node',
    ]);
    expect(cellar?.models.get('pumps-v2')).toEqual(bytesOf(shippedVariant('pumps-v2', 1)));
    expect(attic?.pushes.map(({ version }) => version)).toEqual([2, 3]);
    expect(cellar?.pushes[2]?.rollback).toBe(true);
  }, 60_000);
});
