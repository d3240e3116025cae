/** One message of each kind, made by the code that makes them in the agent, from a made-up cellar. For docs/mqtt.md. */
import { answerText } from '../src/agent/requests.ts';
import { validateConfig } from '../src/config/index.ts';
import { GatecastError } from '../src/errors.ts';
import { crossings } from '../src/forecast/crossings.ts';
import type { Forecast } from '../src/forecast/forecast.ts';
import type { Outgoing } from '../src/mqtt/outbox.ts';
import { topicsOf } from '../src/mqtt/topics.ts';
import { Discovery } from '../src/outputs/home-assistant/discovery.ts';
import { summaryText } from '../src/outputs/home-assistant/summary.ts';
import { JsonTopics } from '../src/outputs/json/json-topics.ts';
import { responseMessage } from '../src/outputs/json/messages.ts';
import { Q } from '../src/quantiles.ts';

const MINUTE = 60_000;
const NOW = Date.UTC(2025, 0, 31, 6, 5, 2, 41);
const ORIGIN = Date.UTC(2025, 0, 31, 6, 0);
const STREAM = 'cellar/temperature';
const MODEL = { id: 'base', version: '1' };
const SETTINGS = validateConfig({
  node: 'edge',
  mqtt: { url: 'mqtt://broker' },
  streams: [{ match: 'cellar/+' }],
  publish: { at: ['10m'] },
}).publish;

const quantiles = Float64Array.from({ length: 3 * Q }, (_, i) => {
  const lead = Math.floor(i / Q) + 1;
  return 0.6 - 0.4 * lead + ((i % Q) - 4) * 0.07 * Math.sqrt(lead);
});

const forecast: Forecast = {
  stream: STREAM,
  unit: '°C',
  originMs: ORIGIN,
  stepMs: 5 * MINUTE,
  seq: 4711,
  leads: 3,
  quantiles,
  kind: 'gru',
  input: { quality: 'good', observedMs: ORIGIN + 4 * MINUTE, ageMs: MINUTE },
  coverage: { target: 0.8, observed: 0.804, n: 1000 },
  crossings: crossings([{ name: 'freezing', side: 'below', value: 0 }], quantiles, 3, ORIGIN, 5 * MINUTE),
  observed: 0.6,
  expected: null,
};

/** By kind: topic and payload as they go to the broker. */
export function examples(): Readonly<Record<string, Outgoing>> {
  const topics = topicsOf('gatecast', 'edge');
  const sent: Outgoing[] = [];
  const json = new JsonTopics({
    topics,
    send: (message) => sent.push(message),
    config: () => ({ publish: { ...SETTINGS, every: null } }),
    maxMessageBytes: () => Number.POSITIVE_INFINITY,
    store: { getMeta: () => null, setMeta: () => {} },
    streams: () => [],
    version: '0.1.0',
    since: () => NOW - MINUTE,
    session: 'f3b8c1e2-…',
    model: () => MODEL,
  });
  const made = (say: () => void): Outgoing => {
    sent.length = 0;
    say();
    return sent[0]!;
  };
  const home = new Discovery({
    prefix: 'homeassistant',
    base: 'gatecast',
    node: 'edge',
    version: '0.1.0',
    topics,
    group: 'default',
    settings: () => ({
      quantiles: SETTINGS.quantiles,
      leads: [10 * MINUTE],
      attributes: 'slim',
      anomalies: true,
      verbs: [],
      pageUrl: 'http://edge.lan:8787',
      supportUrl: 'http://edge.lan:8787',
    }),
  });
  const spec = {
    name: STREAM,
    unit: '°C',
    device: 'cellar',
    thresholds: [{ name: 'freezing', side: 'below', value: 0 }],
    horizonMs: 15 * MINUTE,
  } as const;
  const response = (verb: string, message: Record<string, unknown>): Outgoing => ({
    topic: topics.response(verb),
    payload: JSON.stringify(message),
    qos: 1,
    retain: false,
  });
  const unknown = new GatecastError('STREAM_UNKNOWN', 'There is no stream "attic/humidity".');
  return {
    status: json.birth()[0] as Outgoing,
    health: made(() =>
      json.health({
        state: 'ok',
        degraded: [],
        rssMb: 96.4,
        cpuPct: 1.2,
        dbBytes: 8_355_840,
        writtenBytesDay: 1_204_224,
        streams: 2,
        model: MODEL,
        finetune: { status: 'refused', reason: 'worse by 2.0 % than the champion' },
        configVersion: null,
        dropped: { 'bad-json': 1, late: 3 },
      }),
    ),
    forecast: made(() => json.forecast(forecast, NOW)),
    at: made(() => {
      json.forecast(forecast, NOW);
      sent.shift();
    }),
    score: made(() =>
      json.score(
        STREAM,
        [1, 3].map((lead) => ({
          lead,
          n: 1000,
          mae: 0.09 * lead,
          bias: -0.004 * lead,
          coverage: 0.804,
          loss: 0.07 * lead,
          lossSeasonal: 0.21,
          lossNaive: 0.1 * lead,
          maeSeasonal: 0.25,
          maeNaive: 0.12 * lead,
        })),
        1000,
      ),
    ),
    anomaly: made(() =>
      json.anomaly(STREAM, { timeMs: ORIGIN, observed: 9.4, low: 0.31, p50: 0.6, high: 0.88, score: 7.316 }),
    ),
    alert: made(() =>
      json.alert('store', {
        severity: 'error',
        text: 'samples are in memory only: database or disk is full',
        sinceMs: NOW,
      }),
    ),
    model: made(() =>
      json.group('default', {
        champion: 'default-20250130-031702',
        version: '1',
        trainedAt: '2025-01-30T03:21:40.000Z',
        previous: 'base',
        probationSinceMs: null,
        holdout: { champion: 0.61, candidate: 0.57, naive: 1, seasonal: 1.2 },
        lastRun: {
          status: 'confirmed',
          reason: 'live loss 0.58 of the better naive over 2016 forecasts',
          trigger: 'schedule',
          startedMs: Date.UTC(2025, 0, 30, 3, 17, 2),
          endedMs: Date.UTC(2025, 0, 30, 3, 21, 44),
          found: { streams: 2, leftOut: 0, problems: [] },
        },
        waitsFor: 'no trigger',
      }),
    ),
    request: {
      topic: topics.requests.replace('+', 'forget-stream'),
      payload: JSON.stringify({ stream: 'attic/humidity', transaction: 'a-17' }),
      qos: 1,
      retain: false,
    },
    ok: response(
      'backup',
      responseMessage(
        { file: 'backups/gatecast-20250131T060502Z.db', bytes: 8_421_376, removed: [] },
        null,
        17,
      ),
    ),
    error: response('forget-stream', responseMessage(null, answerText(unknown), 'a-17')),
    summary: {
      topic: topics.summary(STREAM),
      payload:
        summaryText(forecast, {
          leads: [10 * MINUTE],
          quantiles: SETTINGS.quantiles,
          decimals: 1,
          additive: false,
          anomaly: false,
        }) ?? '',
      qos: 1,
      retain: true,
    },
    alerts: { topic: topics.alerts, payload: JSON.stringify({ count: 0, alerts: [] }), qos: 1, retain: true },
    device: home.device(home.deviceId(spec, 1), [spec]).message,
  };
}
