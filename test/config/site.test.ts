// What a config with `site` must and must not ask for: everything that a site cannot do is refused, not ignored.
import { describe, expect, it } from 'vitest';
import { validateConfig } from '../../src/config/index.ts';
import { GatecastError } from '../../src/errors.ts';

const base = {
  node: 'plant-1',
  mqtt: { url: 'mqtt://127.0.0.1' },
  timezone: 'UTC',
  streams: [{ match: 'sensors/{place}', payload: 'json', fields: ['value'] }],
  finetune: { enabled: false },
  site: { name: 'plant', servers: ['nats://127.0.0.1:4222'] },
};

function issues(change: object): string {
  try {
    validateConfig({ ...base, ...change });
    return '';
  } catch (error) {
    return error instanceof GatecastError
      ? error.issues.map(({ path, message }) => `${path}: ${message}`).join('\n')
      : String(error);
  }
}

describe('a config with a site', () => {
  it('is complete with a name and servers', () => {
    expect(validateConfig(base).site).toEqual({
      name: 'plant',
      servers: ['nats://127.0.0.1:4222'],
      role: ['bridge', 'worker'],
      batch: 20,
      checkpoint: 300_000,
      publish: 'nats',
    });
  });

  it('may name other streams as covariates', () => {
    const streams = [{ ...base.streams[0], covariates: ['other'] }];
    expect(validateConfig({ ...base, streams }).streams[0].covariates).toEqual(['other']);
  });

  it.each([
    ['the zone of the machine', { timezone: 'local' }, 'timezone: must name a zone'],
    [
      'covariates from a topic',
      { streams: [{ ...base.streams[0], covariates: [{ topic: 'weather' }] }] },
      'streams[0].covariates: cannot name a topic or a file in a site',
    ],
    [
      'too many covariates',
      {
        streams: Array.from({ length: 9 }, (_, at) => ({
          ...base.streams[0],
          match: `s${at}/{x}`,
          covariates: Array.from({ length: 8 }, (_one, i) => `other ${at} ${i}`),
        })),
      },
      'streams: name 72 streams as covariates; a site copies them to all partitions, so at most 64 are allowed',
    ],
    ['a node that is no key', { node: 'plant.1' }, 'node: must be 1 to 64 letters'],
    ['a site without servers', { site: { name: 'p', servers: [] } }, 'site.servers: must name a server'],
    [
      'a server of another protocol',
      { site: { ...base.site, servers: ['http://x'] } },
      'site.servers[0]: must be a URL',
    ],
    [
      'a password in a URL',
      { site: { ...base.site, servers: ['nats://u:p@x'] } },
      'must not hold a user name',
    ],
    ['a name with a dot', { site: { ...base.site, name: 'a.b' } }, 'site.name: must be 1 to 64'],
    ['no role', { site: { ...base.site, role: [] } }, 'site.role: must name a role'],
    [
      'the topics of the node',
      { site: { ...base.site, name: 'plant-1', publish: 'mqtt' } },
      'site.name: must differ',
    ],
    [
      'a password without a user',
      { site: { ...base.site, password_file: 'x' } },
      'site.password_file: needs `user`',
    ],
    ['a certificate without a key', { site: { ...base.site, tls: { cert_file: 'x' } } }, 'site.tls.key_file'],
  ])('is refused: %s', (_, change, text) => {
    expect(issues(change)).toContain(text);
  });
});
