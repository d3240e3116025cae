// Fine-tuning of a site with everything real: a member as a process, nats-server, Mosquitto, the trainer. The model of its config has
// learnt nothing; after a fine-tuning on the readings of the logs the partitions forecast with another one.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { ModelRegistry } from '../../src/model/registry.ts';
import { encodeBatch } from '../../src/site/batch.ts';
import { inputSubject, partitionOf } from '../../src/site/names.ts';
import { readSiteModel } from '../../src/site/status.ts';
import { forecastSpec } from '../../src/training/job.ts';
import { untrainedModel } from '../support/models.ts';
import { hasMosquitto } from '../support/mosquitto.ts';
import { hasNats } from '../support/nats.ts';
import { normal } from '../support/random.ts';
import { machine } from '../support/series.ts';
import { command, memberFile } from '../support/site-process.ts';
import { SiteRun } from '../support/site-run.ts';
import { testSpec } from '../support/specs.ts';
import { tempDirs } from '../support/temp.ts';
import { sleep, waitFor } from '../support/wait.ts';

const MINUTE_MS = 60_000;
const BUCKETS = 1200;
const LEADS = 12;
const PARTITIONS = 2;

describe.skipIf(!hasNats || !hasMosquitto)('a site', () => {
  const tempDir = tempDirs();
  let run: SiteRun | undefined;
  afterAll(() => run?.end());

  it('trains its model on the readings of the logs, and forecasts with the one that is better', async () => {
    const site = await SiteRun.single(tempDir());
    run = site;
    const options = site.member('one', ['bridge', 'worker'], {
      rest: {
        model: { name: 'raw' },
        // Nothing begins by itself at some hour, and a busy machine is no reason to wait.
        finetune: { schedule: 'off', max_time: '30s', max_load: 32, max_temperature: 110 },
      },
    });
    const models = join(site.dir, 'one', 'models');
    mkdirSync(models, { recursive: true });
    const network = forecastSpec({ cell: 'gru', layers: 1, hidden: 16, width: 16 });
    new ModelRegistry(models, null).save(untrainedModel(network, { name: 'raw', leads: LEADS }));
    await site.create(options, PARTITIONS, '2s');
    await site.open();
    await site.start(options);

    const specs = ['boiler', 'pump', 'tank'].map((name) =>
      testSpec(name, { intervalMs: MINUTE_MS, latenessMs: 0, horizonMs: LEADS * MINUTE_MS }),
    );
    const noise = normal(1);
    const values = specs.map(() => machine(noise));
    let timeMs = Math.floor(Date.now() / MINUTE_MS - BUCKETS - 60) * MINUTE_MS;
    /** The next minutes of all streams, in one message for each. */
    const write = async (minutes: number): Promise<void> => {
      for (const [at, spec] of specs.entries()) {
        const samples = Array.from({ length: minutes }, (_, minute) => ({
          stream: spec.name,
          timeMs: timeMs + minute * MINUTE_MS,
          value: 10 * (at + 1) + values[at](),
          // Not of now: the time of the bridges does not close their buckets.
          arrivalMs: Date.now(),
        }));
        const text = encodeBatch({ bridge: 'history', untilMs: null, specs: [spec], samples });
        const subject = inputSubject(site.observer.name, partitionOf(spec.name, PARTITIONS));
        await site.observer.js.publish(subject, text);
      }
      timeMs += minutes * MINUTE_MS;
    };
    for (let written = 0; written < BUCKETS; written += 100) await write(100);
    await site.forecastsOf(specs.length);
    const before = site.seen.at(-1);
    expect(before?.text).toContain('"model":{"id":"raw"');
    const file = memberFile(options);
    let answer = '';
    await waitFor('the run', async () => {
      await sleep(1000);
      answer = await command(['site', 'tune', '-c', file]).catch(String);
      // The site may have begun its first run by itself.
      return /fine-tunes the model;|fine-tuning is running/.test(answer);
    }).catch((error) => {
      throw new Error(`${answer} ${site.members.get('one')?.output()}`, { cause: error });
    });
    const { record, tuning } = await waitFor(
      'its end',
      async () => {
        const found = await readSiteModel(site.observer);
        return found.tuning.last.status === 'running' ? null : found;
      },
      200_000,
    );
    expect(tuning.last, site.members.get('one')?.output()).toMatchObject({ status: 'promoted' });
    expect(record).toMatchObject({ number: 1, name: expect.stringMatching(/^default-\d{8}-\d{6}$/) });
    await waitFor('forecasts of the new model', async () => {
      await write(1);
      await sleep(1000);
      return site.seen.at(-1)?.text.includes(`"model":{"id":"${record?.name}"`);
    });
  });
});
