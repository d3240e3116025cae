// Pictures of every view of the page, light and dark, wide and as on a phone.
//
//   npm run screenshots                               the page of an agent with made-up sensors of a house, five days of them
//   npm run screenshots -- --url http://gateway:8787  the page of a running agent
//
// The files are written to .cache/screenshots, or to the folder after --out. --readme writes docs/page.png and nothing else.
// GATECAST_CHROMIUM is the browser, by default /usr/bin/chromium.
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Aedes } from 'aedes';
import { chromium } from 'playwright-core';

const root = fileURLToPath(new URL('..', import.meta.url));
const { values: options } = parseArgs({
  options: {
    url: { type: 'string' },
    out: { type: 'string', default: join(root, '.cache/screenshots') },
    readme: { type: 'boolean', default: false },
  },
});

const STEP_MS = 300_000;
const STEPS = 288 * 5;
/** The stream of the pictures. */
const STREAM = 'heatpump/power';

const example = options.url === undefined ? await startExample() : null;
try {
  await takePictures(options.url ?? example.url);
} finally {
  await example?.stop();
}

/** An agent with five days of readings. */
async function startExample() {
  const broker = await Aedes.createBroker({ queueLimit: 10_000 });
  let subscribed = false;
  broker.on('subscribe', () => {
    subscribed = true;
  });
  const server = createServer(broker.handle);
  const brokerPort = await listen(server);
  const probe = createServer();
  const pagePort = await listen(probe);
  await new Promise((resolve) => probe.close(resolve));
  const url = `http://127.0.0.1:${pagePort}`;
  const folder = mkdtempSync(join(tmpdir(), 'gatecast-screenshots-'));
  const file = join(folder, 'gatecast.json');
  writeFileSync(file, JSON.stringify(exampleConfig(brokerPort, pagePort, join(folder, 'data'))));
  const agent = spawn(process.execPath, [join(root, 'dist/gatecast.js'), 'run', '-c', file], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const ended = new Promise((resolve) => agent.once('exit', resolve));
  const stop = async () => {
    agent.kill();
    await ended;
    await new Promise((resolve) => broker.close(resolve));
    server.close();
    rmSync(folder, { recursive: true });
  };
  try {
    await until('the agent has subscribed', async () => subscribed);
    const lastMs = await feed(broker);
    await until('all readings are used, and no stream is silent any more', async () => {
      const { streams } = await get(url, 'streams');
      return (
        streams.length === 8 &&
        streams.every(({ observed_ms: ms }) => ms >= lastMs) &&
        (await get(url, 'status')).alerts === 0
      );
    });
  } catch (error) {
    await stop();
    throw error;
  }
  return { url, stop };
}

function exampleConfig(brokerPort, pagePort, dataDir) {
  const share = { unit: '%', limits: { min: 0, max: 100 } };
  const rule = { payload: 'json', time: '/time', name: '{device}/{field}', interval: '5m', horizon: '12h' };
  return {
    node: 'cellar',
    mqtt: { url: `mqtt://127.0.0.1:${brokerPort}`, version: '3.1.1' },
    data_dir: dataDir,
    lateness: '0s',
    finetune: { enabled: false },
    http: { listen: `127.0.0.1:${pagePort}` },
    streams: [
      {
        ...rule,
        match: 'home/{device}',
        fields: [
          { field: 'power', unit: 'W', limits: { min: 0 } },
          { field: 'temperature', unit: '°C' },
          { field: 'humidity', ...share },
          { field: 'co2', unit: 'ppm' },
          { field: 'pressure', unit: 'hPa' },
        ],
      },
      {
        ...rule,
        match: 'tank/{device}',
        fields: [{ field: 'level', ...share }],
        thresholds: [{ name: 'empty', below: 10 }],
      },
    ],
  };
}

/** Publishes the readings up to now, the same at each run but for the time of day. @returns the time of the last closed bucket, ms */
async function feed(broker) {
  let state = 42;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 4294967296;
  };
  const noise = () => uniform() + uniform() + uniform() + uniform() - 2;
  const send = (topic, timeMs, values) =>
    new Promise((resolve, reject) =>
      broker.publish(
        {
          cmd: 'publish',
          topic,
          payload: JSON.stringify({ ...values, time: timeMs / 1000 }),
          qos: 1,
          retain: false,
        },
        (error) => (error ? reject(error) : resolve()),
      ),
    );
  const endMs = Math.floor(Date.now() / STEP_MS) * STEP_MS;
  let [level, room, humidity, co2, pressure, power] = [88, 21, 48, 600, 1013, 900];
  for (let step = STEPS; step >= 0; step--) {
    const timeMs = endMs - step * STEP_MS;
    const hour = (timeMs / 3_600_000) % 24;
    const day = Math.sin(((hour - 9) / 24) * 2 * Math.PI);
    const isAwake = hour > 6.5 && hour < 22.5;
    level -= isAwake ? 0.16 + 0.1 * Math.max(0, noise()) : 0.02;
    if (level < 5 || step === 420) level = 94;
    room += 0.04 * (21.2 + 1.3 * day + (isAwake ? 0.6 : -0.5) - room) + 0.03 * noise();
    humidity += 0.05 * (48 - 5 * day - humidity) + 0.2 * noise();
    co2 += 0.06 * ((isAwake ? 900 : 560) - co2) + 14 * noise();
    pressure += 0.06 * noise() + 0.0006 * (1013 - pressure);
    power = Math.max(0, 0.8 * power + 0.2 * (900 - 520 * day + (isAwake ? 350 : 0)) + 60 * noise());
    await send('tank/rainwater', timeMs, { level: round(level, 2) });
    // The living room's sensor was off for two hours.
    if (step < 200 || step > 222)
      await send('home/livingroom', timeMs, {
        temperature: round(room, 2),
        humidity: round(humidity, 1),
        co2: round(co2, 0),
      });
    await send('home/heatpump', timeMs, {
      power: round(power, 0),
      temperature: round(38 + power / 120 + 0.2 * noise(), 1),
    });
    await send('home/outside', timeMs, {
      temperature: round(7 + 5 * day + 0.3 * noise(), 1),
      pressure: round(pressure, 1),
    });
    // The agent's queue stays short.
    await sleep(40);
  }
  return endMs - STEP_MS;
}

async function takePictures(url) {
  mkdirSync(options.out, { recursive: true });
  const { streams } = await get(url, 'streams');
  const status = await get(url, 'status');
  const stream = streams.some(({ stream }) => stream === STREAM) ? STREAM : streams[0]?.stream;
  if (stream === undefined) throw new Error(`${url} has no streams yet`);
  const views = ['alerts', 'model', 'config', ...(status.site === null ? [] : ['site'])];
  const browser = await chromium.launch({
    executablePath: process.env.GATECAST_CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
  });
  const openStream = async (width, height, colorScheme, deviceScaleFactor = 1) => {
    const tab = await browser.newPage({ viewport: { width, height }, colorScheme, deviceScaleFactor });
    await tab.goto(`${url}/#/stream/${encodeURIComponent(stream)}`);
    await tab.waitForFunction((name) => document.getElementById('stream-name')?.textContent === name, stream);
    await tab.waitForSelector('#scores table');
    return tab;
  };
  const showPast = async (tab) => {
    const leads = await tab.locator('#lead option').count();
    await answered(tab, '/api/past/', () => tab.selectOption('#lead', { index: Math.ceil((leads - 1) / 4) }));
  };
  try {
    if (options.readme) {
      const tab = await openStream(1280, 985, 'light', 0.8);
      await showPast(tab);
      await tab.screenshot({ path: join(root, 'docs/page.png') });
      return;
    }
    for (const [size, width, height] of [
      ['wide', 1280, 985],
      ['phone', 390, 844],
    ])
      for (const colorScheme of ['light', 'dark']) {
        const tab = await openStream(width, height, colorScheme);
        const save = (view) =>
          tab.screenshot({ path: join(options.out, `${view}-${size}-${colorScheme}.png`), fullPage: true });
        await save('stream');
        await showPast(tab);
        await save('past');
        await answered(tab, '/api/history/', () => tab.click('#ranges button:last-child'));
        // The agent computes forecasts that it has not kept.
        await tab.waitForFunction(
          () => !document.getElementById('past-key').textContent.endsWith('computing'),
        );
        await save('history');
        await tab.click('#values summary');
        await save('table');
        for (const view of views) {
          await answered(tab, `/api/${view}`, () => tab.goto(`${url}/#/${view}`));
          await tab.waitForSelector('#view .panel');
          await save(view);
        }
        await tab.close();
      }
    console.log(`Pictures: ${options.out}`);
  } finally {
    await browser.close();
  }
}

/** Does it, and waits for the answer that it asks the agent for, and for the frame that shows the answer. */
async function answered(tab, path, act) {
  await Promise.all([
    tab.waitForResponse((response) => new URL(response.url()).pathname.startsWith(path)),
    act(),
  ]);
  await tab.evaluate(() => new Promise((resolve) => setTimeout(() => requestAnimationFrame(resolve), 200)));
}

async function get(url, what) {
  const response = await fetch(`${url}/api/${what}`);
  if (!response.ok) throw new Error(`${url}/api/${what}: ${response.status}`);
  return response.json();
}

async function until(what, check) {
  for (let tries = 0; tries < 600; tries++) {
    if (await check().catch(() => false)) return;
    await sleep(500);
  }
  throw new Error(`not within five minutes: ${what}`);
}

function listen(server) {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => resolve(server.address().port));
  });
}

function round(value, digits) {
  return Number(value.toFixed(digits));
}
