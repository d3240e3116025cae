// What docs/site.md and deploy/site give to copy: the config is valid, and the Compose file fits the program and its image.
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { createProgram } from '../../src/cli/program.ts';
import { validateConfig } from '../../src/config/index.ts';

const COMPOSE = 'deploy/site/compose.yaml';

interface Service {
  readonly image: string;
  readonly command?: string | readonly string[];
  readonly volumes?: readonly string[];
  readonly depends_on?: readonly string[];
  readonly restart?: string;
  readonly ports?: readonly string[];
  readonly profiles?: readonly string[];
}

/** The first block of a language in docs/site.md. */
function block(language: string): string {
  const found = new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\``, 'm').exec(
    readFileSync('docs/site.md', 'utf8'),
  );
  if (found === null) throw new Error(`docs/site.md has no block of ${language}`);
  return found[1];
}

it('has a config in its docs that is valid for each role', () => {
  const config = parse(block('yaml')) as { site: object };
  for (const role of [['bridge'], ['worker'], ['bridge', 'worker']])
    expect(validateConfig({ ...config, site: { ...config.site, role } }).site?.role).toEqual(role);
});

it('has a Compose file whose services, volumes and commands exist', () => {
  const { services, volumes, ...rest } = parse(readFileSync(COMPOSE, 'utf8')) as {
    services: Readonly<Record<string, Service>>;
    volumes: Readonly<Record<string, object>>;
  };
  expect(rest).toEqual({});
  const known = new Set(['image', 'command', 'volumes', 'depends_on', 'restart', 'ports', 'profiles']);
  const configFile = /"(\/etc\/gatecast\/[^"]+)"\]$/m.exec(readFileSync('deploy/Containerfile', 'utf8'))?.[1];
  const commands = new Map(
    createProgram({ out: () => {}, err: () => {} }).commands.map((one) => [one.name(), one]),
  );
  const used = new Set<string>();
  const configs = new Set<string>();
  for (const [name, service] of Object.entries(services)) {
    expect(
      Object.keys(service).filter((key) => !known.has(key)),
      name,
    ).toEqual([]);
    for (const other of service.depends_on ?? []) expect(services, name).toHaveProperty(other);
    for (const mount of service.volumes ?? []) {
      const [from, to] = mount.split(':');
      if (!from.startsWith('.')) used.add(from);
      else {
        expect(to, name).toBe(configFile);
        configs.add(from);
      }
    }
    if (service.image !== 'gatecast' || service.command === undefined) continue;
    const [command, sub] = service.command;
    expect(
      commands.get(command)?.commands.map((one) => one.name()),
      name,
    ).toContain(sub);
    expect(service.command.at(-1), name).toBe(configFile);
  }
  expect([...used].sort()).toEqual(Object.keys(volumes).sort());
  // Members keep their data, and the comment names the files that an owner has to write.
  const text = readFileSync(COMPOSE, 'utf8');
  for (const file of configs) expect(text).toContain(file.replace('./', ''));
  for (const name of ['bridge', 'worker-1', 'worker-2'])
    expect(services[name].volumes, name).toContainEqual(expect.stringMatching(/:\/var\/lib\/gatecast$/));
  for (const path of text.match(/deploy\/\S+/g) ?? [])
    expect(existsSync(path) || existsSync(join(dirname(COMPOSE), path)), path).toBe(true);
});
