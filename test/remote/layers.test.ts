import { describe, expect, it } from 'vitest';
import { ruleIds } from '../../src/config/index.ts';
import {
  effectiveConfig,
  effectiveDocument,
  keyOrigins,
  layerOrder,
  nextLayer,
} from '../../src/remote/layers.ts';
import { mergePatch } from '../../src/remote/merge-patch.ts';
import { DOCUMENT, FILE } from './gateway.ts';

/** RFC 7396, appendix A: target, patch, result. */
const VECTORS: readonly (readonly [unknown, unknown, unknown])[] = [
  [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
  [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
  [{ a: 'b' }, { a: null }, {}],
  [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
  [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
  [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
  [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
  [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
  [
    ['a', 'b'],
    ['c', 'd'],
    ['c', 'd'],
  ],
  [{ a: 'b' }, ['c'], ['c']],
  [{ a: 'foo' }, null, null],
  [{ a: 'foo' }, 'bar', 'bar'],
  [{ e: null }, { a: 1 }, { e: null, a: 1 }],
  [[1, 2], { a: 'b', c: null }, { a: 'b' }],
  [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
];

describe('layers', () => {
  it.each(VECTORS)('merge patch: %j and %j give %j', (target, patch, result) => {
    const before = structuredClone(target);
    expect(mergePatch(target, patch)).toEqual(result);
    expect(target).toEqual(before);
  });

  it('derives the ids of rules, each of them once', () => {
    const matches = ['zigbee2mqtt/{device}', 'a/+/b/#', '+', 'zigbee2mqtt/{device}', `${'x'.repeat(80)}`];
    expect(ruleIds(matches.map((match) => ({ match })))).toEqual([
      'zigbee2mqtt-device',
      'a-any-b-all',
      'any',
      'zigbee2mqtt-device-2',
      'x'.repeat(63),
    ]);
    expect(ruleIds([{ match: 'a' }, { id: 'a', match: 'b' }])).toEqual(['a-2', 'a']);
  });

  it('lays fleet over file, node over fleet, and local-only keys of the file over all', () => {
    const layers = {
      'fleet:north': { publish: { every: '1m', quantiles: [0.5] }, log: { level: 'debug' } },
      'fleet:south': { publish: { every: '2m' } },
      node: {
        publish: { quantiles: [0.1, 0.9] },
        node: 'attic',
        http: null,
        streams: { pumps: { horizon: '2h' } },
      },
      'fleet:west': { publish: { every: '9m' } },
    };
    const { config } = effectiveConfig(FILE, layers, layerOrder(['north', 'south']));
    expect(config.publish).toMatchObject({ every: 120_000, quantiles: [0.1, 0.9] });
    expect(config.log.level).toBe('debug');
    expect(config.node).toBe('cellar');
    expect(config.streams[0]).toMatchObject({ id: 'pumps', interval: 60_000, horizon: 7_200_000 });
  });

  it('keeps the order of the rules, adds new ones at the end, removes one by null', () => {
    const streams = { new: { match: 'new/+' }, 'zigbee2mqtt-device': { interval: '1m' }, pumps: null };
    const document = effectiveDocument(DOCUMENT, { node: { streams } }, ['node']);
    expect(document.streams).toEqual([
      { id: 'zigbee2mqtt-device', match: 'zigbee2mqtt/{device}', interval: '1m' },
      { id: 'new', match: 'new/+' },
    ]);
    expect(effectiveDocument(DOCUMENT, {}, ['node'])).toBe(DOCUMENT);
  });

  it('a patch that removes a rule of the file keeps it removed; {} brings it back', () => {
    const removed = nextLayer(
      { publish: { every: '1m' } },
      { patch: { streams: { pumps: null }, publish: { every: null } } },
    );
    expect(removed).toEqual({ publish: {}, streams: { pumps: null } });
    const later = nextLayer(removed, { patch: { log: { level: 'warn' } } });
    expect(effectiveDocument(DOCUMENT, { node: later }, ['node']).streams).toHaveLength(1);
    const back = nextLayer(later, { patch: { streams: { pumps: {} } } });
    expect(effectiveDocument(DOCUMENT, { node: back }, ['node']).streams).toHaveLength(2);
  });

  it('says where each key comes from', () => {
    const layers = {
      'fleet:north': { publish: { every: '1m' } },
      node: { streams: { pumps: { horizon: '2h' } }, log: { level: 'warn' } },
    };
    const found = keyOrigins(DOCUMENT, layers, layerOrder(['north']));
    const of = (path: string) => found.find((key) => key.path === path);
    expect(of('node')).toEqual({ path: 'node', value: 'cellar', origin: 'file' });
    expect(of('publish.every')).toEqual({ path: 'publish.every', value: '1m', origin: 'fleet:north' });
    expect(of('log.level')).toEqual({ path: 'log.level', value: 'warn', origin: 'node' });
    expect(of('streams.pumps.horizon')).toEqual({
      path: 'streams.pumps.horizon',
      value: '2h',
      origin: 'node',
    });
    expect(of('streams.pumps.interval')?.origin).toBe('file');
    expect(of('streams.pumps.aggregate')).toEqual({
      path: 'streams.pumps.aggregate',
      value: 'mean',
      origin: 'default',
    });
    expect(of('streams.zigbee2mqtt-device.match')?.origin).toBe('file');
    expect(of('store.flush')).toEqual({ path: 'store.flush', value: '5s', origin: 'default' });
    expect(of('mqtt.url')?.origin).toBe('file');
    expect(of('http.listen')).toEqual({ path: 'http.listen', value: '127.0.0.1:8787', origin: 'default' });
  });
});
