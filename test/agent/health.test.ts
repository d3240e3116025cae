import { expect, test } from 'vitest';
import { Alerts } from '../../src/agent/alerts.ts';
import { DEGRADING, DROPS, type DropReason } from '../../src/agent/drops.ts';
import { Health, type HealthParts } from '../../src/agent/health.ts';
import { LoggedErrors } from '../../src/agent/logged-errors.ts';
import { SenderClocks } from '../../src/agent/sender-clocks.ts';
import { validateConfig } from '../../src/config/index.ts';
import { EXPECTED_REJECTS, REJECTS } from '../../src/ingest/rejects.ts';
import { createLogger } from '../../src/log.ts';
import { startTime } from '../../src/system/clock.ts';
import type { RunReport } from '../../src/training/run-report.ts';
import { renderMetrics } from '../../src/web/metrics.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { hasPrometheus, promtool } from '../support/prometheus.ts';

const HOUR = 3_600_000;

function setUp(change: Partial<HealthParts> = {}) {
  const clock = new FakeClock(Date.UTC(2025, 0, 1));
  const state = {
    written: 0,
    pending: 0,
    engine: { failures: 0, lastFailure: null as string | null },
    broker: {
      connected: true,
      protocol: '5' as '5' | null,
      resumed: false,
      skipped: null as string | null,
      limits: null as string | null,
      connects: 1,
      fault: null as string | null,
      refusedFilters: [] as string[],
      outbox: 0,
      dropped: {} as Record<string, number>,
    },
    lastRun: { status: 'refused' as RunReport['status'], reason: 'worse by 2.0 % than the champion' },
  };
  const errors = new LoggedErrors();
  const config = validateConfig({ node: 'n', mqtt: { url: 'mqtt://x' }, streams: [{ match: 's' }] });
  const health = new Health({
    errors,
    config: () => config,
    version: '1',
    since: startTime(clock),
    clock,
    models: { current: { name: 'base', model: null, trainedAt: null, problem: null } },
    tuning: {
      get lastRun() {
        return state.lastRun;
      },
    },
    store: {
      stats: () => ({
        dbBytes: 5,
        samples: 2,
        pending: 0,
        droppedPending: state.pending,
        deletedForSpace: 0,
        refusedRows: 0,
        damagedParts: 0,
        writtenBytes: state.written,
      }),
    },
    storeConditions: () => [],
    get engine() {
      return state.engine;
    },
    streams: { size: 4, dropped: () => ({ 'bad-json': 2 }) },
    pipeline: {
      samples: 7,
      forecasts: 3,
      fault: null,
      clocks: new SenderClocks(),
      dropped: () => ({ late: 1 }),
    },
    outputs: { dropped: () => [], limits: () => [] },
    link: { client: { status: () => state.broker } },
    facts: () => ({
      rssMb: 90,
      cpuPercent: 2,
      loadPerCore: 0.1,
      temperatureC: 40,
      memoryAvailableMb: 1000,
      memoryTotalMb: 2000,
      cores: 4,
    }),
    remote: null,
    ahead: { dropped: () => ({}) },
    site: null,
    ...change,
  });
  return { health, clock, state, errors };
}

test('setting the clock after the start does not add years to the uptime', () => {
  const { health, clock } = setUp();
  const before = health.pageStatus().sinceMs;
  clock.advance(HOUR);
  expect(health.pageStatus().sinceMs).toBe(before);
  clock.jump(365 * 24 * HOUR);
  const { sinceMs, nowMs } = health.pageStatus();
  expect(nowMs - sinceMs).toBe(HOUR);
  expect(health.metrics().find(({ name }) => name === 'gatecast_uptime_seconds')?.values).toEqual([
    { value: 3600 },
  ]);
});

test('a problem of dropped readings names the stream whose clock is wrong, and its offset', () => {
  const dropped: Record<string, number> = {};
  const clocks = new SenderClocks();
  const pipeline = { samples: 7, forecasts: 3, fault: null, clocks, dropped: () => ({ ...dropped }) };
  const { health, clock } = setUp({ pipeline });
  health.problems();
  const nowMs = clock.now();
  for (const [reason, timeMs, text] of [
    ['future', nowMs + 2 * HOUR, 'its time is 2 h ahead, which fits a local time; set time_zone: +02:00'],
    ['future', nowMs + 37 * 60_000, 'its time is 37 min ahead; set the clock'],
    ['absurd-time', 1000 * nowMs, 'its number is 1000 times too large'],
    ['absurd-time', 60_000, 'its clock was never set'],
  ] as const) {
    for (let i = 0; i < 3; i++) clocks.refuse({ stream: 'pump', timeMs, value: 1, arrivalMs: nowMs });
    dropped[reason] = (dropped[reason] ?? 0) + 3;
    clock.advance(1000);
    const told = health.problems().find(({ id }) => id === 'dropped');
    expect(told?.text).toContain('every reading of pump is refused');
    expect(told?.text).toContain(text);
  }
});

test('without a problem the state is ok', () => {
  const { health } = setUp();
  expect(health.message()).toEqual({
    state: 'ok',
    degraded: [],
    rssMb: 90,
    cpuPct: 2,
    dbBytes: 5,
    writtenBytesDay: 0,
    streams: 4,
    finetune: { status: 'refused', reason: 'worse by 2.0 % than the champion' },
    configVersion: null,
    dropped: { 'bad-json': 2, late: 1 },
  });
});

test('every problem is named', () => {
  const { health, state, clock } = setUp({
    models: { current: { name: 'base', model: null, trainedAt: null, problem: 'no file' } },
    storeConditions: () => [{ id: 'store', severity: 'error', text: 'disk full' }],
    pipeline: { samples: 0, forecasts: 0, fault: 'broken', clocks: new SenderClocks(), dropped: () => ({}) },
  });
  Object.assign(state.broker, { connected: false, fault: 'refused', refusedFilters: ['a/#'] });
  state.lastRun = { status: 'failed', reason: 'out of memory' };
  clock.jump(-Date.UTC(2025, 0, 1));
  const { degraded, state: word } = health.message();
  expect(word).toBe('degraded');
  for (const text of ['clock', 'no file', 'disk full', 'broken', 'refused', 'a/#', 'out of memory'])
    expect(degraded.some((reason) => reason.includes(text))).toBe(true);
});

test('limits of the broker are one warning, with what the outputs cannot publish', () => {
  const { health, state } = setUp({
    outputs: { dropped: () => [], limits: () => ['no entity fits: s_high'] },
  });
  state.broker.limits = 'QoS 0 only';
  const limits = () => health.problems().filter(({ id }) => id === 'broker-limits');
  const text = (tail: RegExp) => [
    { id: 'broker-limits', severity: 'warning', text: expect.stringMatching(tail) },
  ];
  expect(limits()).toEqual(text(/: QoS 0 only; no entity fits: s_high$/));
  state.broker.limits = null;
  expect(limits()).toEqual(text(/: no entity fits: s_high$/));
});

test('a failure of the network is reported as a problem for a while', () => {
  const { health, state, clock } = setUp();
  state.engine = { failures: 1, lastFailure: 'not finite' };
  expect(health.degraded().join()).toContain('not finite');
  clock.advance(301_000);
  expect(health.degraded()).toEqual([]);
});

test('drops of all parts are summed by reason', () => {
  const { health, state } = setUp({
    streams: { size: 4, dropped: () => ({ oversize: 2 }) },
    outputs: { dropped: () => [{ 'forecast-not-finite': 4 }], limits: () => [] },
  });
  state.broker.dropped = { oversize: 3, 'outbox-full': 1 };
  state.pending = 9;
  expect(health.dropped()).toEqual({
    oversize: 5,
    late: 1,
    'forecast-not-finite': 4,
    'outbox-full': 1,
    'store-full': 9,
  });
});

test('written_bytes_day counts the last 24 hours only', () => {
  const { health, state, clock } = setUp();
  health.writtenBytesDay();
  for (let hour = 1; hour <= 72; hour++) {
    clock.advance(HOUR);
    state.written += 1000;
    const day = health.writtenBytesDay();
    if (hour <= 24) expect(day).toBe(1000 * hour);
    else expect(Math.abs(day - 24_000)).toBeLessThanOrEqual(1000);
  }
});

test.skipIf(!hasPrometheus)('metrics pass the check of promtool', () => {
  const { health, clock } = setUp();
  const alerts = new Alerts({
    store: { getMeta: () => null, setMeta: () => {} },
    clock,
    outputs: { alert: () => {} },
  });
  const families = [...health.metrics(), ...alerts.metrics()];
  expect(promtool(['check', 'metrics'], renderMetrics(families))).toBe('');
});

test('every reason of a drop is a metric before the first one', () => {
  const { health } = setUp({ streams: { size: 4, dropped: () => ({}) } });
  const family = health.metrics().find(({ name }) => name === 'gatecast_dropped_total');
  const zero = family?.values.filter(({ value }) => value === 0).map(({ labels }) => labels?.reason);
  for (const reason of [...Object.keys(DROPS), ...Object.keys(REJECTS)])
    if (reason !== 'late') expect(zero).toContain(reason);
});

test('metrics have a name once, and the drops by reason', () => {
  const { health } = setUp();
  const families = health.metrics();
  const names = families.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  expect(families.find(({ name }) => name === 'gatecast_dropped_total')?.values).toContainEqual({
    labels: { reason: 'late' },
    value: 1,
  });
});

// Promise P6: a drop of any kind is in the health message, the alert, the metrics and the page.
test.each([...Object.keys(DROPS), ...Object.keys(REJECTS)])('a drop is reported everywhere: %s', (reason) => {
  const drops: Record<string, number> = {};
  const { health, clock } = setUp({
    streams: { size: 4, dropped: () => drops },
    pipeline: { samples: 0, forecasts: 0, fault: null, clocks: new SenderClocks(), dropped: () => ({}) },
  });
  const conditions = () => health.problems().filter(({ id }) => id === 'dropped');
  expect(conditions()).toEqual([]);
  drops[reason] = 3;
  const [alert] = conditions();
  // what is expected, such as another agent on the broker, is no problem
  if (EXPECTED_REJECTS.has(reason)) expect(alert).toBeUndefined();
  else expect(alert?.text).toContain(reason);
  expect(health.message().dropped[reason]).toBe(3);
  expect(health.pageStatus().health.dropped[reason]).toBe(3);
  const family = health.metrics().find(({ name }) => name === 'gatecast_dropped_total');
  expect(family?.values).toContainEqual({ labels: { reason }, value: 3 });
  // What breaks a promise degrades the state; what a sensor did wrong does not.
  const degrades = DEGRADING.has(reason as DropReason);
  if (!EXPECTED_REJECTS.has(reason)) expect(alert?.severity).toBe(degrades ? 'error' : 'warning');
  expect(health.message().state).toBe(degrades ? 'degraded' : 'ok');
  clock.advance(301_000);
  expect(conditions()).toEqual([]);
  expect(health.message().state).toBe('ok');
});

test('an error in the log that no other alert covers is an alert for some minutes, and counted', () => {
  const { health, clock, errors } = setUp();
  const lines: string[] = [];
  const log = errors
    .counted(
      createLogger({ level: () => 'error', write: (line) => lines.push(line), now: () => clock.now() }),
    )
    .with({ part: 'reports' });
  const total = (event: string) =>
    health
      .metrics()
      .find(({ name }) => name === 'gatecast_errors_total')
      ?.values.find(({ labels }) => labels?.event === event)?.value;
  const internal = () => health.problems().filter(({ id }) => id === 'internal');

  log.error('publish refused by the broker', { reason: 'an alert of its own' });
  log.warn('no error');
  expect(internal()).toEqual([]);
  expect(health.message().state).toBe('ok');
  expect(total('publish refused by the broker')).toBe(1);

  expect(total('a regular task failed')).toBe(0);
  log.error('a regular task failed', { reason: 'x at mqtt://user:secret@b' });
  const text = 'a regular task failed (reports): x at mqtt://b';
  expect(internal()).toEqual([{ id: 'internal', severity: 'error', text }]);
  expect(health.message()).toMatchObject({ state: 'degraded', degraded: [text] });
  expect(total('a regular task failed')).toBe(1);
  clock.advance(301_000);
  expect(health.message().state).toBe('ok');

  log.with({}).error('an event that is in no table');
  expect(internal()[0]?.text).toBe('an event that is in no table (reports)');
  expect(total('an event that is in no table')).toBe(1);
  expect(lines.length).toBe(3);
});

test('samples that the store loses are counted by reason', () => {
  const { health } = setUp({
    store: {
      stats: () => ({
        dbBytes: 1,
        samples: 1,
        pending: 0,
        droppedPending: 1,
        deletedForSpace: 2,
        refusedRows: 3,
        damagedParts: 4,
        writtenBytes: 0,
      }),
    },
  });
  expect(health.message().dropped).toMatchObject({
    'store-full': 1,
    'disk-full': 2,
    'row-refused': 3,
    'journal-damaged': 4,
  });
});
