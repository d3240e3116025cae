/** Every reason in the table of rejects is given by a real message, and by nothing else in it. */
import { describe, expect, it } from 'vitest';
import { REJECTS, type RejectReason } from '../../src/ingest/rejects.ts';
import { Router } from '../../src/ingest/router.ts';
import type { IngestLimits, IngestRule } from '../../src/ingest/rule.ts';
import { ARRIVAL } from './decode.ts';
import { rule, settings } from './rules.ts';
import { sparkplug } from './sparkplug-messages.ts';

interface Case {
  readonly rules?: readonly IngestRule[];
  readonly limits?: Partial<IngestLimits>;
  /** Sent in turn; the last one is the one that is rejected. */
  readonly messages: readonly (readonly [topic: string, payload: string | Uint8Array, retained?: boolean])[];
}
const FLOAT = 9;
const edge = (kind: string, device = '') => `spBv1.0/plant/${kind}/edge${device}`;
const spark = [rule('spBv1.0/#', 'sparkplug')];
const json = [rule('z/{device}', 'json')];

const CASES: Readonly<Record<RejectReason, Case>> = {
  oversize: {
    limits: { maxPayloadBytes: 20 },
    messages: [
      ['z/a', '{"t":1}'.padEnd(20)],
      ['z/a', '{"t":1}'.padEnd(21)],
    ],
  },
  empty: { messages: [['z/a', '']] },
  'bad-topic': { messages: [['z/+', '{"t":1}']] },
  'unmatched-topic': { messages: [['y/a', '{"t":1}']] },
  encoding: { messages: [['z/a', Buffer.from('82a17401a16802', 'hex')]] },
  'bad-json': { messages: [['z/a', '{"t":1']] },
  'repeated-key': { messages: [['z/a', '{"t":1,"u":{"x":1,"x":2}}']] },
  'too-deep': {
    limits: { maxJsonDepth: 3 },
    messages: [
      ['z/a', '{"a":{"b":{"c":1}}}'],
      ['z/a', '{"a":{"b":{"c":{"d":1}}}}'],
    ],
  },
  'bad-payload': { rules: [rule('z/{device}', 'senml')], messages: [['z/a', '[{"v":1}]']] },
  'bad-number': { rules: [rule('z/{device}', 'number')], messages: [['z/a', '21.5 apples']] },
  'not-finite': { rules: [rule('z/{device}', 'number')], messages: [['z/a', '1e400']] },
  'wrong-type': {
    rules: [rule('z/{device}', 'json', { decoder: settings(['t']) })],
    messages: [['z/a', '{"t":[]}']],
  },
  'missing-field': {
    rules: [rule('z/{device}', 'json', { decoder: settings(['t']) })],
    messages: [['z/a', '{"u":1}']],
  },
  'no-number': { messages: [['z/a', '{"t":"warm"}']] },
  'too-many-readings': {
    limits: { maxReadings: 2 },
    messages: [
      ['z/a', '{"a":1,"b":2}'],
      ['z/a', '{"a":1,"b":2,"c":3}'],
    ],
  },
  'forbidden-key': { messages: [['z/a', '{"__proto__":1,"t":1}']] },
  'over-budget': {
    limits: { maxPayloadBytes: 3_000_000 },
    messages: [
      ...Array.from({ length: 9 }, () => ['z/a', `{"t":1,"text":"${'x'.repeat(2_900_000)}"}`] as const),
      ['z/a', '{"t":1}'],
    ],
  },
  'other-agent': {
    rules: [rule('#', 'auto')],
    messages: [['plant/gw1/health', '{"state":"ok","degraded":[],"streams":4,"dropped":{},"rss_mb":70}']],
  },
  'only-retained': { messages: [['z/a', '{"t":1}', true]] },
  'no-identity': {
    rules: [
      rule('ble', 'json', { decoder: settings(['t'], { identity: ['/mac'] }), name: '{/mac}/{field}' }),
    ],
    messages: [['ble', '{"t":3}']],
  },
  'bad-time': {
    rules: [rule('z/{device}', 'json', { decoder: settings(['t'], { time: 'at' }) })],
    messages: [['z/a', '{"t":1,"at":"yesterday"}']],
  },
  'bad-quality': {
    rules: spark,
    messages: [[edge('NBIRTH'), sparkplug([{ name: 'm', type: FLOAT, float: 1, quality: 0 }], 0)]],
  },
  unavailable: {
    rules: [rule('homeassistant/#', 'homeassistant')],
    messages: [['homeassistant/sensor/a/state', 'unavailable']],
  },
  'unknown-alias': { rules: spark, messages: [[edge('NDATA'), sparkplug([{ alias: 1, float: 1 }], 9)]] },
  'sequence-gap': {
    rules: spark,
    messages: [
      [edge('NBIRTH'), sparkplug([{ name: 'm', alias: 1, type: FLOAT, float: 1 }], 0)],
      [edge('NDATA'), sparkplug([{ alias: 1, float: 2 }], 1)],
      [edge('NDATA'), sparkplug([{ alias: 1, float: 2 }], 3)],
    ],
  },
  'bad-stream-name': { messages: [['z/a', `{"${'n'.repeat(900)}":1}`]] },
  'name-conflict': {
    rules: [rule('a/{d}', 'json'), rule('b/{d}', 'json')],
    messages: [
      ['a/x', '{"p":1}'],
      ['b/x', '{"p":1}'],
    ],
  },
  'stream-limit': {
    limits: { maxStreams: 2 },
    messages: [
      ['z/a', '{"t":1}'],
      ['z/b', '{"t":1}'],
      ['z/a', '{"t":2}'],
      ['z/c', '{"t":1}'],
    ],
  },
};

describe('rejects', () => {
  it.each(Object.keys(REJECTS) as RejectReason[])('%s', (reason) => {
    const { rules = json, limits = {}, messages } = CASES[reason];
    const router = new Router(rules, { limits });
    for (const [at, [topic, payload, retained]] of messages.entries()) {
      const { rejects } = router.message(topic, Buffer.from(payload), ARRIVAL, retained);
      const last = at === messages.length - 1;
      expect(
        rejects.map((one) => one.reason),
        `message ${at + 1}`,
      ).toEqual(last ? [reason] : []);
    }
    expect(router.dropped()).toEqual({ [reason]: 1 });
  });
});
