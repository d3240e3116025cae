import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type Finding, runChecks } from '../../../src/cli/doctor/checks.ts';
import { freePort, hasMosquitto, startMosquitto } from '../../support/mosquitto.ts';
import { run } from '../../support/run.ts';
import { tempDirs } from '../../support/temp.ts';

const temp = tempDirs();

function configFile(url: string): string {
  const dir = temp();
  const file = join(dir, 'gatecast.yaml');
  writeFileSync(
    file,
    `node: x\nmqtt: { url: "${url}" }\ndata_dir: ${join(dir, 'data')}\nstreams: [{ match: "a/+" }]\n`,
  );
  return file;
}
const states = (findings: readonly Finding[]) =>
  Object.fromEntries(findings.map(({ name, state }) => [name, state]));

test('this machine is fit: runtime, model, disk', async () => {
  const findings = await runChecks({ config: undefined, dataDir: temp() });
  expect(states(findings)).toMatchObject({
    system: 'ok',
    clock: expect.any(String),
    model: 'ok',
    disk: 'ok',
  });
  expect(findings.find(({ name }) => name === 'model')?.text).toMatch(/a step takes \d+\.\d us per stream/);
});

test('a data directory that is a file is said to be one', async () => {
  const file = join(temp(), 'file');
  writeFileSync(file, '');
  const findings = await runChecks({ config: undefined, dataDir: file });
  expect(findings.find(({ name }) => name === 'disk')).toMatchObject({
    state: 'fail',
    text: expect.stringContaining('is a file'),
  });
});

test('a data directory without a fitting model is a note: naive forecasts need none', async () => {
  const file = configFile('mqtt://127.0.0.1:1');
  writeFileSync(
    file,
    `${'node: x\nmqtt: { url: "mqtt://127.0.0.1:1" }\nmodel: { name: none }\nstreams: [{ match: a }]\n'}`,
  );
  const findings = await runChecks({ config: file, dataDir: temp() });
  expect(states(findings)).toMatchObject({ model: 'note', broker: 'fail' });
  expect(findings.find(({ name }) => name === 'config')?.text).toBe(`${file}: node x, 1 rule`);
});

test.skipIf(!hasMosquitto)('a broker that answers, and one that refuses a subscription', async () => {
  const broker = await startMosquitto();
  try {
    expect(states(await runChecks({ config: configFile(broker.url), dataDir: undefined }))).toMatchObject({
      config: 'ok',
      broker: 'ok',
      disk: 'ok',
    });
  } finally {
    await broker.stop();
  }
});

test('a broker that is not there, an invalid config: exit code 1, with what is wrong', async () => {
  const nowhere = configFile(`mqtt://127.0.0.1:${await freePort()}`);
  const { code, out: text } = await run('doctor', '-c', nowhere);
  expect(code).toBe(1);
  expect(text).toMatch(/FAIL +broker +mqtt:.*ECONNREFUSED/);
  writeFileSync(nowhere, 'node: 7\n');
  const invalid = await run('doctor', '-c', nowhere, '--json');
  expect(invalid.code).toBe(1);
  const { findings } = JSON.parse(invalid.out) as { findings: Finding[] };
  expect(states(findings)).toMatchObject({ config: 'fail', system: 'ok' });
  expect(findings.find(({ name }) => name === 'config')?.text).toMatch(/; node: must be a name, not 7/);
});
