/**
 * The dashboard and the alert rules against a real Prometheus that scrapes a real agent: every query of the dashboard returns
 * data, every rule is evaluated without an error and reads metrics that exist, and an alert of the agent arrives.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { daemonSuite } from '../support/daemon-suite.ts';
import { freePort, hasMosquitto } from '../support/mosquitto.ts';
import { hasPrometheus, type Prometheus, promtool, startPrometheus } from '../support/prometheus.ts';
import { sensorsConfig } from '../support/sensors.ts';
import { tempDirs } from '../support/temp.ts';
import { waitFor } from '../support/wait.ts';

interface Dashboard {
  readonly panels: readonly {
    readonly title: string;
    readonly targets?: readonly { readonly expr: string }[];
  }[];
}

const DEPLOY = new URL('../../deploy/', import.meta.url).pathname;
const PATIENCE_MS = 240_000;
const METRIC = /\b(?:gatecast|process|nodejs)_[a-z0-9_]+\b|\bup\b/g;

describe.skipIf(!hasMosquitto || !hasPrometheus)('Prometheus', () => {
  const temp = tempDirs();
  const suite = daemonSuite();
  let prometheus: Prometheus;
  let page = '';
  let exposed = '';
  let feed: NodeJS.Timeout;

  beforeAll(async () => {
    const dir = temp();
    const port = await freePort();
    page = `http://127.0.0.1:${port}`;
    const rule = { interval: '1s', horizon: '10s' };
    await suite.start(
      dir,
      sensorsConfig({ node: 'n', url: suite.broker.url, dataDir: dir }, rule, {
        http: { listen: `127.0.0.1:${port}` },
      }),
    );
    let sent = 0;
    feed = setInterval(() => {
      const reading = JSON.stringify({ value: sent++ % 7, time: new Date().toISOString() });
      suite.eyes.client.publish('sensors/a', reading);
      suite.eyes.client.publish('sensors/a', '{');
    }, 250);
    const file = join(dir, 'prometheus.yml');
    const shipped = readFileSync(join(DEPLOY, 'prometheus/prometheus.yml'), 'utf8');
    writeFileSync(
      file,
      shipped
        .replace('127.0.0.1:8787', `127.0.0.1:${port}`)
        .replace('gatecast.rules.yml', join(DEPLOY, 'prometheus/gatecast.rules.yml'))
        // A scrape may take as long as the time to the next one.
        .replaceAll(/_interval: 30s/g, '_interval: 5s'),
    );
    prometheus = await startPrometheus(file);
    await waitFor(
      'some scrapes with forecasts',
      async () => {
        const [sample] = await prometheus.query('rate(gatecast_forecasts_total[1m])');
        return Number(sample?.value[1] ?? 0) > 0;
      },
      PATIENCE_MS,
    );
    exposed = await (await fetch(`${page}/metrics`)).text();
  });
  afterAll(async () => {
    clearInterval(feed);
    await prometheus?.stop();
  });

  /** Without a sensor of temperature, the machine has no such metric. */
  const exists = (name: string): boolean =>
    name === 'up' || exposed.includes(`\n${name} `) || exposed.includes(`\n${name}{`);
  const metricsOf = (expression: string): string[] => {
    const names = [...expression.replaceAll(/\{[^}]*\}/g, '').matchAll(METRIC)].map(([name]) => name);
    expect(names, expression).not.toEqual([]);
    return names.filter((name) => name !== 'gatecast_temperature_celsius' || exists(name));
  };

  /** A scrape that failed, because the machine stood still, hides all metrics until the next one. */
  const returns = (query: string, what = query): Promise<unknown> =>
    waitFor(`finite numbers of ${what}: ${query}`, async () => {
      const samples = await prometheus.query(query);
      return samples.length > 0 && samples.every(({ value }) => Number.isFinite(Number(value[1])));
    });

  test('takes what a running agent exposes, and promtool finds nothing wrong with it', async () => {
    expect(promtool(['check', 'metrics'], exposed)).toBe('');
    await returns('up{job="gatecast"} == 1');
  });

  test('every query of the dashboard returns data', async () => {
    const { panels } = JSON.parse(readFileSync(join(DEPLOY, 'grafana/gatecast.json'), 'utf8')) as Dashboard;
    const queries = panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ title, expr })));
    expect(queries.length).toBeGreaterThan(20);
    for (const { title, expr } of queries) {
      const asked = expr
        .replaceAll('$job', 'gatecast')
        .replaceAll('$instance', '.*')
        .replaceAll('$__rate_interval', '1m');
      expect(asked).not.toContain('$');
      await prometheus.query(asked);
      if (metricsOf(asked).length > 0) await returns(asked, title);
    }
    expect(exposed).toMatch(/^gatecast_dropped_total\{reason="bad-json"\} [1-9]/m);
  });

  test('every alert rule is evaluated, and reads metrics that are there', async () => {
    const rules = await waitFor(
      'the evaluation of every rule',
      async () => {
        const all = await prometheus.rules();
        return all.length > 0 && all.every(({ health }) => health !== 'unknown') ? all : null;
      },
      PATIENCE_MS,
    );
    const written =
      readFileSync(join(DEPLOY, 'prometheus/gatecast.rules.yml'), 'utf8').match(/- alert:/g) ?? [];
    expect(rules).toHaveLength(written.length);
    for (const { name, query, health, lastError } of rules) {
      expect(health, `${name}: ${lastError}`).toBe('ok');
      for (const metric of metricsOf(query)) {
        await returns(`count(${metric}) > 0`, `${name}: ${metric}`);
      }
    }
  });

  test('an alert of the agent, and the loss of its broker, arrive', async () => {
    suite.broker.signal('SIGKILL');
    const pending = async (name: string, id?: string): Promise<boolean> =>
      (await prometheus.rules()).some(
        (rule) =>
          rule.name === name && rule.alerts.some(({ labels }) => id === undefined || labels.id === id),
      );
    // Unreadable messages are an alert with the id `dropped`.
    await waitFor('the alert of the agent', () => pending('GatecastAlert', 'dropped'), PATIENCE_MS);
    await waitFor('the lost broker', () => pending('GatecastBrokerLost'), PATIENCE_MS);
    await waitFor('the degraded state', () => pending('GatecastDegraded'), PATIENCE_MS);
  });
});
