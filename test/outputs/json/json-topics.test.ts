import { describe, expect, it } from 'vitest';
import { validateConfig } from '../../../src/config/index.ts';
import type { Forecast } from '../../../src/forecast/forecast.ts';
import type { Outgoing } from '../../../src/mqtt/outbox.ts';
import { topicsOf } from '../../../src/mqtt/topics.ts';
import { ForecastText } from '../../../src/outputs/json/forecast-text.ts';
import { JsonTopics, type JsonTopicsParts } from '../../../src/outputs/json/json-topics.ts';
import { Q } from '../../../src/quantiles.ts';
import { MemoryStore } from '../../support/memory-store.ts';

const T0 = Date.UTC(2025, 0, 1);
const MINUTE = 60_000;

function forecast(
  more: Partial<Forecast> = {},
  value = (lead: number, at: number) => lead * 10 + at / 3,
): Forecast {
  const leads = 4;
  const quantiles = Float64Array.from({ length: leads * Q }, (_, i) => value(Math.floor(i / Q), i % Q));
  return {
    stream: 'pump/temperature',
    unit: '°C',
    originMs: T0,
    stepMs: 5 * MINUTE,
    seq: 7,
    leads,
    quantiles,
    kind: 'gru',
    input: { quality: 'good', observedMs: T0 + 1000, ageMs: 2400 },
    coverage: { target: 0.8, observed: 0.812_345_6, n: 120 },
    crossings: [],
    observed: 1,
    expected: null,
    ...more,
  };
}
const sizeOf = (message: Outgoing | undefined): number =>
  Buffer.byteLength(`${message?.topic}${message?.payload}`);

const DEFAULTS = validateConfig({ node: 'n', mqtt: { url: 'mqtt://b' }, streams: [{ match: 'a' }] }).publish;

function make(
  settings: Partial<ReturnType<JsonTopicsParts['config']>['publish']> = {},
  streams: string[] = [],
  mostBytes = Number.POSITIVE_INFINITY,
) {
  const sent: Outgoing[] = [];
  const output = new JsonTopics({
    topics: topicsOf('gatecast', 'n'),
    send: (message) => sent.push(message),
    config: () => ({
      publish: { ...DEFAULTS, quantiles: [0.1, 0.5, 0.9], every: null, at: [], ...settings },
    }),
    store: new MemoryStore(),
    streams: () => streams.map((name) => ({ name })),
    model: () => ({ id: 'base', version: '3' }),
    maxMessageBytes: () => mostBytes,
    version: '1.2.3',
    since: () => T0,
    session: 'run-1',
  });
  output.start();
  const publish = (forecasts: readonly Forecast[], nowMs: number) => {
    for (const one of forecasts) output.forecast(one, nowMs);
  };
  const json = (at = sent.length - 1) => JSON.parse(String(sent[at]?.payload));
  return { output, publish, sent, json };
}

describe('forecasts', () => {
  it('carry every field of the contract', () => {
    const { publish, sent, json } = make();
    const crossings = [
      { name: 'freezing', side: 'below', value: 0, atMs: T0 + 10 * MINUTE, probability: 0.123_456 },
      { name: 'hot', side: 'above', value: 80, atMs: null, probability: 0 },
    ] as const;
    publish([forecast({ crossings })], T0 + 302_000);
    expect(sent[0]).toMatchObject({ topic: 'gatecast/n/forecast/pump/temperature', qos: 1, retain: true });
    expect(json()).toEqual({
      v: 1,
      stream: 'pump/temperature',
      unit: '°C',
      issued: '2025-01-01T00:05:02.000Z',
      origin: '2025-01-01T00:00:00.000Z',
      step_s: 300,
      seq: 7,
      model: { id: 'base', version: '3', kind: 'gru' },
      input: { quality: 'good', observed: '2025-01-01T00:00:01.000Z', age_s: 2 },
      p10: [0, 10, 20, 30],
      p50: [1.333_33, 11.3333, 21.3333, 31.3333],
      p90: [2.666_67, 12.6667, 22.6667, 32.6667],
      coverage: { target: 0.8, observed: 0.812_346, n: 120 },
      crossing: [
        { name: 'freezing', below: 0, at: '2025-01-01T00:10:00.000Z', probability: 0.123 },
        { name: 'hot', above: 80, at: null, probability: 0 },
      ],
    });
  });

  it('carry the marks of their origin', () => {
    const { publish, json } = make();
    const input = { quality: 'filled', observedMs: T0, ageMs: 0, marks: ['spike', 'too-fast'] } as const;
    publish([forecast({ input })], T0);
    expect(json().input).toMatchObject({ quality: 'filled', marks: ['spike', 'too-fast'] });
  });

  it('carry the quantiles asked for', () => {
    const { publish, json } = make({ quantiles: [0.5, 0.2] });
    publish([forecast()], T0);
    expect(Object.keys(json()).filter((k) => /^p\d/.test(k))).toEqual(['p20', 'p50']);
  });

  it('never carry NaN, infinity or -0, and are withheld and counted instead', () => {
    const { output, publish, sent, json } = make();
    publish([forecast({}, () => -0)], T0);
    expect(String(sent[0]!.payload)).not.toMatch(/-0[,\]]|null\]/);
    expect(json().p50).toEqual([0, 0, 0, 0]);
    publish([forecast({}, (lead) => (lead === 2 ? Number.NaN : 1))], T0);
    publish([forecast({}, () => Number.POSITIVE_INFINITY)], T0);
    expect(sent.length).toBe(1);
    expect(output.dropped()).toEqual({ 'forecast-not-finite': 2 });
  });

  it("tell the values of a meter's total apart, and thresholds as they were set", () => {
    const { publish, sent, json } = make({ at: [5 * MINUTE] });
    const crossings = [
      { name: 'due', side: 'above', value: 123_456_789, atMs: null, probability: 0 },
    ] as const;
    const total = (lead: number, at: number) => 123_456_780 + lead + at / 8;
    publish([forecast({ crossings }, total)], T0);
    expect(json(0).p10).toEqual([123_456_780, 123_456_781, 123_456_782, 123_456_783]);
    expect(json(0).p50[1]).toBeCloseTo(123_456_781.5, 3);
    expect(json(0).crossing[0].above).toBe(123_456_789);
    expect(sent[1]!.payload).toBe(String(json(0).p50[0]));
  });

  it('are null where a value is unknown', () => {
    const { publish, json } = make();
    const coverage = { target: 0.8, observed: null, n: 0 };
    publish(
      [forecast({ unit: null, input: { quality: 'stale', observedMs: null, ageMs: null }, coverage })],
      T0,
    );
    expect(json()).toMatchObject({
      unit: null,
      input: { quality: 'stale', observed: null, age_s: null },
      coverage: { observed: null },
    });
    expect(json()).not.toHaveProperty('crossing');
  });

  it('go out as plain numbers too, where asked for and within the horizon', () => {
    const { publish, sent } = make({ at: [5 * MINUTE, 15 * MINUTE, 60 * MINUTE] });
    publish([forecast()], T0);
    expect(sent.slice(1).map((m) => [m.topic.split('/').slice(-2).join('/'), m.payload, m.retain])).toEqual([
      ['at/5m', '1.33333', true],
      ['at/15m', '21.3333', true],
    ]);
  });

  it('are taken back as plain numbers, once, where the horizon does not reach any more', () => {
    const { publish, sent } = make({ at: [15 * MINUTE] });
    const at = () => sent.filter(({ topic }) => topic.endsWith('/at/15m')).map(({ payload }) => payload);
    const short = { leads: 2, quantiles: new Float64Array(2 * Q) };
    publish([forecast(), forecast(short), forecast(short)], T0);
    expect(at()).toEqual(['21.3333', '']);
    publish([forecast(), forecast(short)], T0);
    expect(at()).toEqual(['21.3333', '', '21.3333', '']);
    const next = make({ at: [15 * MINUTE] }, ['known']);
    for (const stream of ['new', 'known', 'known']) next.publish([forecast({ ...short, stream })], T0);
    const empty = next.sent.filter(({ payload }) => payload === '').map(({ topic }) => topic);
    expect(empty).toEqual(['gatecast/n/forecast/known/at/15m']);
  });

  it('go out at most once in the time set, a stream', () => {
    const { publish, sent } = make({ every: 10 * MINUTE });
    for (let i = 0; i < 5; i++) {
      publish([forecast({ originMs: T0 + i * 5 * MINUTE }), forecast({ stream: 'b' })], T0);
    }
    expect(sent.filter((m) => m.topic.endsWith('temperature')).length).toBe(3);
  });

  it('are taken back when a stream is forgotten', () => {
    const { output, sent } = make({ at: [MINUTE] });
    output.forget('a');
    expect(sent).toEqual(
      ['forecast/a', 'score/a', 'anomaly/a', 'forecast/a/at/1m'].map((topic) => ({
        topic: `gatecast/n/${topic}`,
        payload: '',
        qos: 1,
        retain: true,
      })),
    );
  });
});

describe('other messages', () => {
  it('status', () => {
    const { output } = make();
    for (const [messages, state] of [
      [output.birth(), 'online'],
      [[output.will()], 'offline'],
      [output.farewell(), 'offline'],
    ] as const) {
      expect(messages).toHaveLength(1);
      const message = messages[0];
      expect(message).toMatchObject({ topic: 'gatecast/n/status', qos: 1, retain: true });
      expect(JSON.parse(String(message?.payload))).toEqual({
        state,
        version: '1.2.3',
        since: '2025-01-01T00:00:00.000Z',
        session: 'run-1',
      });
    }
  });

  it('health', () => {
    const { output, sent, json } = make();
    output.health({
      state: 'degraded',
      degraded: ['no broker'],
      rssMb: 101.26,
      cpuPct: 3.14,
      dbBytes: 4096,
      writtenBytesDay: 10,
      streams: 3,
      model: { id: 'base', version: '3' },
      finetune: { status: 'never', reason: '' },
      configVersion: null,
      dropped: { 'bad-json': 2 },
    });
    expect(sent[0]).toMatchObject({ topic: 'gatecast/n/health', retain: true });
    expect(json()).toEqual({
      state: 'degraded',
      degraded: ['no broker'],
      rss_mb: 101.3,
      cpu_pct: 3.1,
      db_bytes: 4096,
      written_bytes_day: 10,
      streams: 3,
      model: { id: 'base', version: '3' },
      finetune: { status: 'never', reason: '' },
      config_version: null,
      dropped: { 'bad-json': 2 },
    });
  });

  it('a group of streams: its model, the holdout, and what became of the last run', () => {
    const { output, sent, json } = make();
    const group = {
      champion: 'default-20250101-031700',
      version: '2025-01-01T03:17',
      trainedAt: '2025-01-01T03:17:00.000Z',
      previous: 'base',
      probationSinceMs: Date.UTC(2025, 0, 1, 4),
      holdout: { champion: 0.8123456789, candidate: 0.75, naive: 1, seasonal: Number.POSITIVE_INFINITY },
      lastRun: {
        status: 'promoted',
        reason: 'better by 7.7 %',
        trigger: 'schedule',
        startedMs: Date.UTC(2025, 0, 1, 3, 17),
        endedMs: Date.UTC(2025, 0, 1, 3, 19),
        found: { streams: 3, leftOut: 1, problems: [{ stream: 'x', problem: 'it never changes' }] },
      },
      waitsFor: 'no trigger',
    };
    output.group('default', group);
    expect(sent[0]).toMatchObject({ topic: 'gatecast/n/model/default', retain: true, qos: 1 });
    expect(json()).toEqual({
      champion: 'default-20250101-031700',
      version: '2025-01-01T03:17',
      trained_at: '2025-01-01T03:17:00.000Z',
      previous: 'base',
      probation: { since: '2025-01-01T04:00:00.000Z' },
      holdout: { champion: 0.812346, candidate: 0.75, naive: 1, seasonal_naive: null },
      last_run: {
        status: 'promoted',
        reason: 'better by 7.7 %',
        trigger: 'schedule',
        started: '2025-01-01T03:17:00.000Z',
        ended: '2025-01-01T03:19:00.000Z',
        streams: 3,
        left_out: 1,
        problems: [{ stream: 'x', problem: 'it never changes' }],
      },
      waits_for: 'no trigger',
    });
  });

  it('score, of the first leads if the broker takes no more', () => {
    const lead = {
      n: 1,
      mae: 1,
      maeNaive: 1,
      maeSeasonal: 1,
      bias: 0,
      coverage: 1,
      loss: 1,
      lossNaive: 1,
      lossSeasonal: 1,
    };
    const all = [1, 2, 3, 4].map((h) => ({ ...lead, lead: h }));
    const whole = make();
    whole.output.score('a', all, 9);
    const size = (sent: readonly Outgoing[]) =>
      Buffer.byteLength(String(sent[0]?.payload)) + 'gatecast/n/score/a'.length;
    expect(whole.json().by_lead.map(({ h }: { h: number }) => h)).toEqual([1, 2, 3, 4]);
    const short = make({}, [], size(whole.sent) - 1);
    short.output.score('a', all, 9);
    expect(short.json()).toEqual({ ...whole.json(), by_lead: whole.json().by_lead.slice(0, 3) });
  });

  it('score', () => {
    const { output, json } = make();
    const base = {
      lead: 1,
      n: 50,
      mae: 1,
      bias: -0.1,
      coverage: 0.81,
      loss: 0.3,
      maeSeasonal: 2,
      maeNaive: 1.5,
    };
    output.score(
      'a',
      [
        { ...base, lossSeasonal: 0.6, lossNaive: 0.4 },
        { ...base, lead: 4, lossSeasonal: 0, lossNaive: 0, maeSeasonal: 0 },
      ],
      500,
    );
    expect(json()).toEqual({
      by_lead: [
        {
          h: 1,
          n: 50,
          mae: 1,
          mase: 0.5,
          bias: -0.1,
          coverage: 0.81,
          skill_vs_naive: 0.25,
          skill_vs_seasonal: 0.5,
        },
        {
          h: 4,
          n: 50,
          mae: 1,
          mase: null,
          bias: -0.1,
          coverage: 0.81,
          skill_vs_naive: null,
          skill_vs_seasonal: null,
        },
      ],
      window: 500,
    });
  });

  it("an anomaly of a meter's total keeps its digits", () => {
    const { output, json } = make();
    const total = { observed: 123_456_789, p50: 123_456_780.5, low: 123_456_780, high: 123_456_781 };
    output.anomaly('a', { timeMs: T0, ...total, score: 7 });
    expect(json()).toMatchObject(total);
  });

  it('anomaly is not kept by the broker, an alert is until it is taken back', () => {
    const { output, sent, json } = make();
    output.anomaly('a', { timeMs: T0, observed: 9, p50: 1, low: 0, high: 2, score: 7.126 });
    expect(sent[0]).toMatchObject({ topic: 'gatecast/n/anomaly/a', retain: false });
    expect(json()).toEqual({
      time: '2025-01-01T00:00:00.000Z',
      observed: 9,
      p50: 1,
      low: 0,
      high: 2,
      score: 7.13,
    });
    output.alert('store', { severity: 'error', text: 'disk full', sinceMs: T0 });
    expect(json()).toEqual({ severity: 'error', text: 'disk full', since: '2025-01-01T00:00:00.000Z' });
    expect(output.limit()).toBeNull();
    const small = make({}, [], 150);
    small.publish([forecast()], T0);
    expect(small.output.limit()).toBe(
      `no forecasts are sent: the shortest takes ${sizeOf(small.sent[0])} bytes`,
    );
    small.output.alert('store', { severity: 'error', text: 'é'.repeat(200), sinceMs: T0 });
    expect(small.json()).toMatchObject({ severity: 'error', text: expect.stringMatching(/^é+…$/) });
    expect(sizeOf(small.sent[1])).toBeLessThanOrEqual(150);
    output.alert('store', null);
    expect(sent[2]).toEqual({ topic: 'gatecast/n/alert/store', payload: '', qos: 1, retain: true });
  });
});

describe('a broker that takes short messages only', () => {
  const nine = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];
  const leads = 48;
  const long = forecast({
    leads,
    quantiles: Float64Array.from(
      { length: leads * Q },
      (_, i) => Math.floor(i / Q) + (i % Q) / 3 + 0.123_456,
    ),
  });
  const shortest = (maxBytes: number) => {
    const options = { quantiles: nine, digits: 6, issuedMs: T0, model: { id: 'base', version: '3' } };
    const text = new ForecastText().of(long, options, maxBytes) ?? '';
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(maxBytes);
    const message = JSON.parse(text);
    const names = Object.keys(message).filter((key) => /^p\d+$/.test(key));
    return {
      names,
      leads: message.p50.length as number,
      longest: Math.max(...message.p50.map((v: number) => String(v).length)),
    };
  };

  it('gets fewer quantiles, then fewer digits, then fewer leads', () => {
    expect(shortest(Number.POSITIVE_INFINITY)).toEqual({
      names: nine.map((q) => `p${q * 100}`),
      leads,
      longest: 7,
    });
    expect(shortest(2000)).toMatchObject({ names: ['p10', 'p50', 'p90'], leads });
    expect(shortest(800)).toEqual({ names: ['p50'], leads, longest: 7 });
    const digits = shortest(640);
    expect(digits).toMatchObject({ names: ['p50'], leads });
    expect(digits.longest).toBeLessThan(7);
    const least = shortest(420);
    expect(least.names).toEqual(['p50']);
    expect(least.leads).toBeLessThan(leads);
  });
});
