import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { KnownAhead } from '../../../src/agent/known-ahead.ts';
import { type Explained, type ExplainRequest, explain } from '../../../src/cli/explain/run.ts';
import { explanationText } from '../../../src/cli/explain/text.ts';
import { createRouter, loadConfig } from '../../../src/config/index.ts';
import { Engine } from '../../../src/forecast/engine.ts';
import type { Forecast } from '../../../src/forecast/forecast.ts';
import { silentLogger } from '../../../src/log.ts';
import { loadModel } from '../../../src/model/pack.ts';
import { ModelRegistry } from '../../../src/model/registry.ts';
import { MEDIAN, Q } from '../../../src/quantiles.ts';
import { FEATURES } from '../../../src/series/features.ts';
import { SqliteStore } from '../../../src/store/sqlite-store.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { normal } from '../../support/random.ts';
import { tempDirs } from '../../support/temp.ts';

const temp = tempDirs();
const MINUTE = 60_000;
const T0 = Date.UTC(2025, 2, 1);
/** Buckets of a quarter of an hour. */
const STEPS = 600;
const ROOM = 'kitchen/temperature';

const CONFIG = (dir: string): string => `
node: cellar
mqtt: { url: "mqtt://127.0.0.1" }
data_dir: ${JSON.stringify(dir)}
streams:
  - match: "rooms/{room}"
    fields: [temperature]
    unit: "°C"
    interval: 15m
    horizon: 3h
    limits: { min: -40 }
    covariates: [outdoor/temperature, { file: "${dir}/tariff.csv", column: price }]
  - match: "outdoor"
    fields: [temperature]
    name: "outdoor/{field}"
    interval: 15m
    horizon: 3h
`;

interface Agent {
  readonly dir: string;
  readonly config: string;
  readonly clock: FakeClock;
  /** Of the room, the newest of all. */
  readonly published: Forecast;
}

/** The numbers of decimals in the given columns of the table under a title, each number once. */
function decimalsOf(text: string, title: string, columns: readonly number[]): number[] {
  const [, after = ''] = text.split(`\n${title}`);
  const [table = ''] = after.split('\n\n');
  const rows = table.trimEnd().split('\n').slice(2);
  const cells = rows.map((row) => row.trim().split(/ +/));
  return [...new Set(cells.flatMap((row) => columns.map((at) => row[at]?.split('.')[1]?.length ?? 0)))];
}

/** A folder as an agent leaves it; the room follows the outdoor temperature four buckets later. */
async function agentFolder(saveAt: number): Promise<Agent> {
  const dir = temp();
  const config = join(dir, 'gatecast.yaml');
  writeFileSync(config, CONFIG(dir));
  writeFileSync(
    join(dir, 'tariff.csv'),
    `time,price\n${Array.from({ length: 400 }, (_, i) => `${new Date(T0 + i * 60 * MINUTE).toISOString()},${i % 7}`).join('\n')}\n`,
  );
  const clock = new FakeClock(T0 + STEPS * 15 * MINUTE + MINUTE);
  const store = SqliteStore.open({ dir, maxBytes: 64e6, retentionMs: 1e12, clock, onFault: () => undefined });
  store.setMeta(
    'agent.streams',
    JSON.stringify([
      ['rooms/kitchen', 'temperature', '°C', T0, ROOM],
      ['outdoor', 'temperature', '°C', T0, 'outdoor/temperature'],
    ]),
  );
  const router = createRouter(loadConfig(config));
  const engine = new Engine(loadModel(new ModelRegistry(null).open('base'), FEATURES));
  const silent = { config: () => loadConfig(config), engine, store, clock, log: silentLogger };
  const tables = new KnownAhead(silent);
  await tables.start();
  tables.stop();
  for (const topic of ['rooms/kitchen', 'outdoor'])
    engine.add({ ...router.adopt({ topic, field: 'temperature' })!.spec, unit: '°C' });
  const draw = normal(3);
  const outdoor: number[] = [];
  let published: Forecast | null = null;
  for (let t = 0; t < STEPS; t++) {
    outdoor.push(0.9 * (outdoor[t - 1] ?? 5) + 2 * draw());
    const values = {
      [ROOM]: 20 + 0.6 * (outdoor[t - 4] ?? 5) + 0.05 * draw(),
      'outdoor/temperature': outdoor[t]!,
    };
    for (const [stream, value] of Object.entries(values)) {
      const timeMs = T0 + (15 * t + 1) * MINUTE;
      const sample = { stream, timeMs, value, arrivalMs: timeMs };
      engine.push(sample);
      store.append(sample);
    }
    const made = await engine.tick(T0 + (t + 1) * 15 * MINUTE + MINUTE);
    published = made.find((one) => one.stream === ROOM) ?? published;
    if (t === saveAt) {
      store.settle();
      store.saveSnapshots([ROOM, 'outdoor/temperature'].map((stream) => engine.snapshot(stream)!));
    }
  }
  store.settle();
  store.close();
  await engine.release();
  return { dir, config, clock, published: published! };
}

let agent: Agent;
beforeAll(async () => {
  agent = await agentFolder(STEPS - 80);
});

const request = (change: Partial<ExplainRequest> = {}): ExplainRequest => ({
  stream: ROOM,
  config: agent.config,
  set: [],
  json: true,
  clock: agent.clock,
  ...change,
});
const explained = async (change: Partial<ExplainRequest> = {}): Promise<Explained> =>
  JSON.parse(await explain(request(change))) as Explained;

describe('gatecast explain', () => {
  it('makes the newest forecast again, and says what each part has of it', async () => {
    const found = await explained();
    const { published } = agent;
    expect(found.origin).toBe(new Date(published.originMs).toISOString());
    expect(found).toMatchObject({ stream: ROOM, unit: '°C', step_s: 900, input: 'good', buckets: STEPS });
    expect(found.model.id).toBe('base');
    expect(found.leads.map(({ lead }) => lead)).toEqual([1, 2, 4, 8, 12]);
    for (const { lead, published: interval, parts, width } of found.leads) {
      expect(interval.p50).toBeCloseTo(published.quantiles[(lead - 1) * Q + MEDIAN]!, 5);
      expect(parts.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 6);
      // The mixture of the medians is the published median: nothing limits it here.
      expect(parts.reduce((sum, { share, p50 }) => sum + share * p50, 0)).toBeCloseTo(interval.p50, 3);
      expect(width).toBeGreaterThan(0.2);
    }
    expect(found.limits).toEqual({ min: -40, max: null });
    expect(found.range!.low).toBeLessThan(found.range!.high);
  });

  it('says what each covariate does, and what the forecast would be with another value', async () => {
    const found = await explained({ set: [{ covariate: 'outdoor', value: -20 }] });
    const [outdoor, tariff] = found.inputs_used;
    expect([outdoor!.name, tariff!.name]).toEqual(['outdoor/temperature', `${agent.dir}/tariff.csv price`]);
    const most = (effect: readonly number[]): number => Math.max(...effect.map(Math.abs));
    // What the outdoor temperature is now shows in the room after four buckets.
    expect(most(outdoor!.effect)).toBeGreaterThan(3 * most(tariff!.effect));
    const { what_if: whatIf, leads } = found;
    expect(whatIf!.set).toEqual({ 'outdoor/temperature': -20 });
    const fourAhead = leads.findIndex(({ lead }) => lead === 4);
    expect(whatIf!.p50[fourAhead]!).toBeLessThan(leads[fourAhead]!.published.p50 - 1);
    // A real value changes nothing.
    const same = await explained({ set: [{ covariate: 'tariff', value: 3 }] }).catch(
      (error: unknown) => error,
    );
    expect(same).toMatchObject({ code: 'USAGE' });
  });

  it('names no covariate that is gone', async () => {
    const other = await agentFolder(STEPS - 80);
    const store = SqliteStore.open({
      dir: other.dir,
      maxBytes: 64e6,
      retentionMs: 1e12,
      clock: other.clock,
      onFault: () => undefined,
    });
    store.forget('outdoor/temperature');
    const known = JSON.parse(store.getMeta('agent.streams') ?? '[]') as unknown[][];
    store.setMeta('agent.streams', JSON.stringify(known.filter(([topic]) => topic !== 'outdoor')));
    store.settle();
    store.close();
    const found = await explained({ config: other.config, clock: other.clock });
    expect(found.inputs_used.map(({ name }) => name)).not.toContain('outdoor/temperature');
    expect(found.leads.every(({ published }) => Number.isFinite(published.p50))).toBe(true);
  });

  it('is understood by people', async () => {
    const text = await explain(
      request({ json: false, set: [{ covariate: 'outdoor/temperature', value: -20 }] }),
    );
    expect(text).toMatch(/^kitchen\/temperature in °C, forecast of the bucket 2025-03-0/);
    expect(text).toMatch(/limits +min -40; readings so far/);
    expect(text).toMatch(/ahead +network +corrected/);
    expect(decimalsOf(text, 'forecast', [1, 2, 3])).toHaveLength(1);
    expect(decimalsOf(text, 'median of each part', [1, 4])).toHaveLength(1);
    for (const column of [1, 2]) expect(decimalsOf(text, 'covariates:', [column])).toHaveLength(1);
    expect(text).toMatch(/what if outdoor\/temperature = -20/);
    expect(text).toMatch(/ 3h /);
    const found = await explained();
    const whole = { p10: 19, p50: 20, p90: 21 };
    const integers = explanationText({
      ...found,
      leads: found.leads.map((lead) => ({ ...lead, published: whole })),
    });
    expect(integers).toMatch(/ 19 +20 +21 /);
    expect(decimalsOf(integers, 'median of each part', [1, 4])).toHaveLength(1);
  });

  it('does not show a factor that says nothing: the parts of a new stream have almost no width', async () => {
    const found = await explained();
    expect(explanationText(found)).not.toContain('> x 10');
    const leads = found.leads.map((lead, i) => (i === 1 ? { ...lead, width: 2609.45 } : lead));
    const young = explanationText({ ...found, leads, buckets: 1 });
    expect(young).toMatch(/^ +30m .* > x 10 +x 1\.\d\d$/m);
    expect(young).not.toContain('2609');
    expect(young).toMatch(
      /almost no width; after 1 of 512 buckets, the usual changes of similar streams count/,
    );
    expect(explanationText({ ...found, leads })).toMatch(/almost no width$/m);
  });

  it('names the streams and the covariates that there are', async () => {
    await expect(explain(request({ stream: 'kitchen' }))).rejects.toMatchObject({
      code: 'STREAM_UNKNOWN',
      hint: expect.stringContaining(ROOM),
    });
    await expect(explain(request({ set: [{ covariate: 'wind', value: 1 }] }))).rejects.toMatchObject({
      code: 'USAGE',
      hint: expect.stringContaining('outdoor/temperature'),
    });
  });

  it('works from readings alone where the saved state has all of them', async () => {
    const other = await agentFolder(STEPS - 1);
    const text = await explain({ ...request({ json: false }), config: other.config });
    expect(text).toMatch(/median of each part/);
  });
});
