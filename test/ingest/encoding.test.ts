/** Payloads that are not plain UTF-8 text. */
import { deflateSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { suggestConfig } from '../../src/config/suggest/suggest.ts';
import { plainPayload } from '../../src/ingest/encoding.ts';
import { Router } from '../../src/ingest/router.ts';
import { Survey } from '../../src/ingest/survey.ts';
import { ARRIVAL } from './decode.ts';
import { rule } from './rules.ts';

const TEXT = '{"t":21.5,"u":"°C"}';
const utf16 = (text: string): Buffer => Buffer.from(text, 'utf16le');

function read(payload: Uint8Array, maxPayloadBytes = 4096) {
  const router = new Router([rule('z/a')], { limits: { maxPayloadBytes } });
  const { samples, rejects } = router.message('z/a', payload, ARRIVAL);
  return [
    Object.fromEntries(samples.map(({ stream, value }) => [stream, value])),
    rejects.map(({ reason, detail }) => `${reason}: ${detail}`),
  ];
}

describe('an encoded payload', () => {
  it.each([
    ['gzip', gzipSync(TEXT)],
    ['zlib', deflateSync(TEXT)],
    ['zlib, fastest', deflateSync(TEXT, { level: 1 })],
    ['UTF-16 with a byte order mark', utf16(`\ufeff${TEXT}`)],
    ['UTF-16, big endian', utf16(`\ufeff${TEXT}`).swap16()],
    ['UTF-16 without a mark', utf16(TEXT)],
    ['UTF-16, big endian, without a mark', utf16(TEXT).swap16()],
    ['UTF-16 with a terminating byte', Buffer.concat([utf16(`\ufeff${TEXT}`), Buffer.from([0])])],
    ['UTF-8 with a byte order mark', Buffer.from(`\ufeff${TEXT}`)],
    ['Base64', Buffer.from(Buffer.from(TEXT).toString('base64'))],
    ['Base64 of several lines', Buffer.from(Buffer.from(`{\n  "t": 21.5\n}`).toString('base64'))],
  ])('is decoded: %s', (_, payload) => {
    expect(read(payload)).toEqual([{ 'z/a/t': 21.5 }, []]);
    const survey = new Survey();
    survey.hear('z/a', payload, ARRIVAL, false);
    expect(survey.topics().map(({ kind, fields }) => [kind, [...fields.keys()]])).toEqual([['json', ['t']]]);
  });

  it.each([
    ['gzip', gzipSync('21.5')],
    ['UTF-16', utf16('\ufeff21.5')],
    ['UTF-16 without a mark', utf16('21.5').swap16()],
  ])('may be a number: %s', (_, payload) => {
    expect(read(payload)).toEqual([{ 'z/a': 21.5 }, []]);
  });

  it.each([
    ['MessagePack', '82a17401a16802'],
    ['MessagePack', '9181a17401'],
    ['MessagePack', 'de0010a17401'],
    ['CBOR', 'a2617401616802'],
    ['CBOR', 'bf617401ff'],
    ['CBOR', '81a1617401'],
    ['CBOR', 'd9d9f7a1617401'],
    ['BSON', '0c00000010740001000000' + '00'],
    ['Zstandard', '28b52ffd04002900'],
    ['a JPEG image', 'ffd8ffe000104a464946'],
    ['gzip, but damaged or truncated', '1f8b0800000000000003ab56'],
    ['zlib (deflate), but damaged or truncated', '789cab562a'],
  ])('is refused by its name if it is not read: %s', (name, hex) => {
    const [samples, rejects] = read(Buffer.from(hex, 'hex'));
    expect(samples).toEqual({});
    expect(rejects).toEqual([expect.stringMatching(`^encoding: ${name.replace(/[()]/g, '.')}[,;a-z ]`)]);
    const survey = new Survey();
    survey.hear('z/a', Buffer.from(hex, 'hex'), ARRIVAL, false);
    expect(suggestConfig({ node: 'n' }, survey)).toContain(`# Not read: z/a (${name}`);
  });

  it('is not decompressed beyond the limit of a payload', () => {
    const bomb = gzipSync(Buffer.alloc(16 * 1024 * 1024, ' '));
    expect(bomb.length).toBeLessThan(256 * 1024);
    expect(read(bomb, 256 * 1024)).toEqual([
      {},
      ['oversize: more than 262144 bytes when gzip is decoded on z/a'],
    ]);
    expect(read(gzipSync('{"t":21.5}'.padEnd(4096)))).toEqual([{ 'z/a/t': 21.5 }, []]);
    expect(read(gzipSync('{"t":21.5}'.padEnd(4097)))[1]).toHaveLength(1);
  });

  it('counts as wasted work when it is decoded in vain', () => {
    const bomb = gzipSync(Buffer.alloc(1024 * 1024, ' '));
    const damaged = gzipSync(Buffer.alloc(200 * 1024, ' '));
    damaged[damaged.length - 8] ^= 1;
    const binary = Buffer.from('81a17415', 'hex');
    for (const [payload, reason, last] of [
      [bomb, 'oversize', 'over-budget'],
      [damaged, 'encoding', 'over-budget'],
      [binary, 'encoding', 'encoding'],
    ] as const) {
      const router = new Router([rule('z/a')], { limits: { maxPayloadBytes: 256 * 1024 } });
      const reasons = Array.from(
        { length: 20 },
        () => router.message('z/a', payload, ARRIVAL).rejects[0]?.reason,
      );
      expect([reasons[0], reasons.at(-1)]).toEqual([reason, last]);
    }
  });

  it('is not mistaken for plain text, nor plain text for it', () => {
    for (const text of [
      'x',
      'x\u0001',
      '5\0',
      '1\0\0\0',
      '\0{"t":1}',
      'eyJ',
      'e',
      'Wow',
      'BZh',
      '(1)',
      '°C',
      'on',
    ]) {
      const payload = Buffer.from(text);
      expect(plainPayload(payload, 4096)).toBe(payload);
    }
  });

  it('takes JSON, lists and numbers for plain by their first bytes, without a look at the rest: nearly every message is one', () => {
    for (const text of ['{"value":20.5}', '[{"n":"t"}]', '20.5', '-1', 'on', 'm,a=b v=1', '"quoted"']) {
      const payload = new Uint8Array(Buffer.from(text));
      Object.defineProperty(payload, 'buffer', {
        get: () => {
          throw new Error('the search for an encoding has begun');
        },
      });
      expect(plainPayload(payload, 4096)).toBe(payload);
    }
  });
});
