import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { configHash, diffConfig, loadConfig, parseConfig, validateConfig } from '../../src/config/index.ts';
import { jsonSchema } from '../../src/config/issues.ts';
import { PATH_KEYS } from '../../src/config/load.ts';
import { TYPE_KEY } from '../../src/config/values.ts';
import { GatecastError } from '../../src/errors.ts';

interface PathSchema {
  readonly properties?: Readonly<Record<string, PathSchema>>;
  readonly items?: PathSchema;
  readonly anyOf?: readonly PathSchema[];
  readonly [TYPE_KEY]?: string;
}
const folder = mkdtempSync(join(tmpdir(), 'gatecast-config-'));
afterAll(() => rmSync(folder, { recursive: true }));
const fixture = (name: string) => readFileSync(new URL(`fixtures/${name}`, import.meta.url), 'utf8');

/** The issues of a text that must be refused, as `path message` without the line. */
function wrong(text: string): string[] {
  try {
    parseConfig(text);
  } catch (error) {
    if (!(error instanceof GatecastError)) throw error;
    expect(error.code).toBe('CONFIG_INVALID');
    return error.issues.map(({ path, message }) => `${path} ${message}`);
  }
  throw new Error('the config was taken');
}
const minimal = 'node: n\nmqtt: { url: mqtt://b }\nstreams: [{ match: "s/{d}" }]\n';

describe('a config', () => {
  it('needs a node, a broker and one rule', () => {
    const config = parseConfig(minimal);
    expect(config).toMatchObject({
      base: 'gatecast',
      mqtt: { version: 'auto', qos: 1 },
      streams: [
        { payload: 'auto', fields: 'auto', interval: null, aggregate: 'mean', gaps: { fill: 'model' } },
      ],
      publish: { quantiles: [0.1, 0.5, 0.9], every: null },
      store: { max_size: 256 * 1024 ** 2, retention: 60 * 86_400_000, flush: 5000 },
    });
  });

  it('may be YAML or JSON, and means the same', () => {
    const config = parseConfig(fixture('full.yaml'));
    expect(config.streams[0]).toMatchObject({
      interval: 300_000,
      horizon: 86_400_000,
      limits: { min: -40, max: 85, max_rate: 5 / 60_000 },
      gaps: { fill: 'model', max: 7_200_000 },
    });
    expect(configHash(parseConfig(fixture('full.json')))).toBe(configHash(config));
    expect(configHash(parseConfig(minimal))).not.toBe(configHash(config));
  });

  it('is read from a file, and the environment goes before data_dir', () => {
    const path = join(folder, 'gatecast.yaml');
    writeFileSync(path, minimal);
    expect(loadConfig(path).data_dir).toBe('/var/lib/gatecast');
    expect(loadConfig(path, { GATECAST_DATA_DIR: '/tmp/x' }).data_dir).toBe('/tmp/x');
    const missing = () => loadConfig(join(folder, 'none.yaml'));
    expect(missing).toThrow(expect.objectContaining({ code: 'FILE_UNREADABLE' }));
  });

  it('has absolute paths, whose relative ones start at the folder of the file', () => {
    const path = join(folder, 'paths.yaml');
    writeFileSync(
      path,
      `node: n
mqtt: { url: mqtts://b, username: u, password_file: pw, ca: /etc/ca.pem, cert: tls/c, key: ../k }
data_dir: ./data
http: { token_file: token }
remote_config: { enabled: true, keys: keys.jwks, ca: r.pem }
streams:
  - { match: "s/{d}", covariates: [other, { file: tariff.csv, column: price }] }
  - { match: "t/{d}", covariates: auto }
`,
    );
    const at = (name: string) => join(folder, name);
    expect(loadConfig(path)).toMatchObject({
      data_dir: at('data'),
      mqtt: { password_file: at('pw'), ca: '/etc/ca.pem', cert: at('tls/c'), key: at('../k') },
      http: { token_file: at('token') },
      remote_config: { keys: at('keys.jwks'), ca: at('r.pem') },
      streams: [{ covariates: ['other', { file: at('tariff.csv') }] }, { covariates: 'auto' }],
    });
    const site = 'name: s, servers: [nats://b], user: u, password_file: w, tls: { ca_file: t }';
    writeFileSync(path, `${minimal}timezone: UTC\nsite: { ${site} }\n`);
    expect(loadConfig(path).site).toMatchObject({ password_file: at('w'), tls: { ca_file: at('t') } });
  });

  it('treats every key of the schema that names a file or a folder as a path', () => {
    const found: string[] = [];
    const walk = (schema: PathSchema, path: string): void => {
      if (/^(?:file|folder)\b/.test(schema[TYPE_KEY] ?? '')) found.push(path);
      for (const [key, inner] of Object.entries(schema.properties ?? {}))
        walk(inner, path === '' ? key : `${path}.${key}`);
      if (schema.items !== undefined) walk(schema.items, `${path}.*`);
      for (const inner of schema.anyOf ?? []) walk(inner, path);
    };
    walk(jsonSchema() as PathSchema, '');
    expect(found.toSorted()).toEqual(PATH_KEYS.map((path) => path.join('.')).toSorted());
  });

  it('lists every wrong key, with its place, what is allowed and what was probably meant', () => {
    const issues = wrong(fixture('wrong.yaml'));
    const expected = [
      /^node is missing; it must be a name/,
      /^nod is not a known key; did you mean `node`\?/,
      /^mqtt\.url must be a URL such as .*mqtt, mqtts/,
      /^mqtt\.password is not a known key; did you mean `password_file`\?/,
      /^mqtt\.key `cert` and `key` must be set together/,
      /^streams\[0\]\.match .*is not a capture; a capture is a whole level/,
      /^streams\[0\]\.payload must be one of auto, json, number.*, not "jsn"/,
      /^streams\[0\]\.fields\[1\]\.field is missing/,
      /^streams\[0\]\.fields\[1\]\.fild is not a known key; did you mean `field`\?/,
      /^streams\[0\]\.fields\[2\] must be .*, not 5/,
      /^streams\[0\]\.interval must be `auto` or a duration from 100ms to 7d; did you mean "10s"/,
      /^streams\[0\]\.horizon must be .*, not "24x"/,
      /^streams\[0\]\.limits\.min must be below `max`/,
      /^streams\[0\]\.limits\.max_rte is not a known key; did you mean `max_rate`\? Allowed here: min, max, max_rate/,
      /^streams\[0\]\.thresholds\[0\] must have either/,
      /^streams\[0\]\.thresholds\[1\]\.below must be a finite number/,
      /^streams\[0\]\.agregate is not a known key; did you mean `aggregate`\?/,
      /^streams\[1\]\.match is missing/,
      /^streams\[1\]\.fields must name a field/,
      /^streams\[2\]\.horizon is 1440 intervals; at most 336/,
      /^streams\[2\]\.bogus is not a known key/,
      /^streams\[2\]\.name uses \{x\}, which the pattern does not define; allowed: \{field\}, \{topic\}/,
      /^finetune\.schedule must be `off` or five cron fields/,
      /^finetune\.max_load must be a number from 0\.05 to 32, not 300/,
      /^publish\.every must be `step` or a duration/,
      /^publish\.quantiles\[1\] must be one of 0\.1, 0\.2/,
      /^store must be a group of keys, not 5/,
    ];
    for (const pattern of expected) expect(issues).toContainEqual(expect.stringMatching(pattern));
    expect(issues).toHaveLength(expected.length);
    expect(issues.find((issue) => issue.startsWith('streams[0].payload'))).toMatch(/\(line 5\)$/);
  });

  it.each([
    ['', 'is empty'],
    ['node: n\nnode: m\n', 'duplicate key'],
    ['a: [', 'line 1'],
    ['- 1\n', 'must be a group of keys'],
    ['node: !!js/function x\n', 'Unresolved tag'],
    ['{? [1, 2] : 3}', 'a key must be a plain text'],
    ['__proto__: { polluted: 1 }\n', 'never allowed'],
    ['mqtt: { constructor: { prototype: { polluted: 1 } } }\n', 'never allowed'],
    [`a: ${'['.repeat(100_000)}`, 'nested deeper'],
    [`${'- '.repeat(100_000)}1`, 'nested deeper'],
    [`a: "${'x'.repeat(1_100_000)}"`, 'larger than 1 MB'],
    ['a: 1\n---\nb: 2\n', 'multiple documents'],
    [
      `a: &a [x,x,x,x,x,x,x,x,x]\n${'bcdefgh'.replaceAll(/./g, (c) => `${c}: &${c} [${Array(9).fill(`*${String.fromCharCode(c.charCodeAt(0) - 1)}`)}]\n`)}`,
      'alias',
    ],
  ])('refuses %.30j', (text, message) => {
    expect(wrong(text).join('\n')).toContain(message);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });

  it('as data is held to the same rules, prototypes included', () => {
    const data = JSON.parse(
      '{"node":"n","mqtt":{"url":"mqtt://b"},"streams":[{"match":"a"}],"__proto__":{"polluted":1}}',
    ) as unknown;
    const refused = expect.objectContaining({
      code: 'CONFIG_INVALID',
      issues: [{ path: '__proto__', message: expect.stringMatching(/^is not a known key/) }],
    });
    expect(() => validateConfig(data)).toThrow(refused);
    expect(() => validateConfig(null)).toThrow(GatecastError);
    expect(() => validateConfig([])).toThrow(GatecastError);
  });

  it('takes a version that YAML reads as a number', () => {
    expect(parseConfig(minimal.replace('mqtt://b', 'mqtt://b, version: 5')).mqtt.version).toBe('5');
  });

  it('refuses certificates for a connection that would not use them', () => {
    const issues = wrong(minimal.replace('mqtt://b', 'mqtt://b, ca: ca.pem'));
    expect(issues).toEqual([
      expect.stringMatching(/^mqtt\.ca has no effect on a connection that is not encrypted/),
    ]);
  });

  it('refuses what would feed the forecasts back, and secrets in the URL', () => {
    expect(wrong(minimal.replace('s/{d}', 'gatecast/{d}/x'))[0]).toMatch(
      /^streams\[0\]\.match matches topics that gatecast/,
    );
    const secret = wrong(minimal.replace('mqtt://b', 'mqtt://me:hunter2@b'));
    expect(secret[0]).toMatch(/^mqtt\.url must not contain a user name or a password/);
    expect(secret.join()).not.toContain('hunter2');
  });

  it('names hot and reconnect changes', () => {
    const before = parseConfig(minimal);
    const after = parseConfig(
      `${minimal.replace('mqtt://b', 'mqtt://c').replace('}" }', '}", horizon: 1h, fields: [a] }')}store: { flush: 1s }\n`,
    );
    expect(diffConfig(before, before)).toEqual({ hot: [], reconnect: [], restart: [] });
    const diff = diffConfig(before, after);
    expect([diff.reconnect, diff.restart]).toEqual([['mqtt.url'], []]);
    expect([...diff.hot].sort()).toEqual(['store.flush', 'streams[0].fields', 'streams[0].horizon']);
    const grown = parseConfig(minimal.replace('}" }', '}" }, { match: x }'));
    expect(diffConfig(before, grown)).toEqual({ hot: ['streams[1]'], reconnect: [], restart: [] });
  });
});
