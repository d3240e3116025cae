/**
 * The built program is killed (-9) in every persisted state of a push: of a config that is good, bad, harmful, or needs a restart,
 * and of a model that is good, harmful or wrong. The next start finds one runnable, consistent configuration and reports it
 * truthfully; the push, which the broker retains, ends as it would have without the kill.
 */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { validateConfig } from '../../src/config/index.ts';
import { haveSchema, type ModelClaim, type Reported } from '../../src/remote/contract.ts';
import { effectiveConfig, layerOrder } from '../../src/remote/layers.ts';
import { bytesOf, chunkAt, modelClaim } from '../../src/remote/model-claim.ts';
import { diskFolder, readLayers } from '../../src/remote/open.ts';
import { sign } from '../../src/remote/sign.ts';
import { newKey } from '../remote/gateway.ts';
import { type Files, shippedVariant } from '../remote/models.ts';
import { type Daemon, ensureBuilt, spawnProgram } from '../support/daemon.ts';
import { hasMosquitto, type Mosquitto, startMosquitto, type Watcher, watch } from '../support/mosquitto.ts';
import { plainConfig, SECONDS } from '../support/sensors.ts';
import { tempDirs } from '../support/temp.ts';
import { waitFor } from '../support/wait.ts';

const tempDir = tempDirs();
const ops = newKey('ops');
const KILLER = pathToFileURL('test/fault/kill-at.mjs').href;
const LEADS = 10;

type Kind =
  | 'good'
  | 'covered'
  | 'restart'
  | 'harmful'
  | 'refused'
  | 'model'
  | 'harmful model'
  | 'wrong model';
type Outcome = 'applied' | 'rolled_back' | 'rejected';

interface Case {
  readonly content: Record<string, unknown>;
  readonly model?: 'good' | 'wrong';
  /** The file has a rule that reads the topic of pushes, too. */
  readonly covered?: true;
  readonly outcome: Outcome;
  /** The states that are written, in order, and the moments of each. */
  readonly kills: readonly string[];
}

const both = (...labels: readonly string[]): string[] =>
  labels.flatMap((label) => [`${label}:before`, `${label}:after`]);
const MODEL_INSTALL = [
  ...both('content', 'expected', 'checking'),
  'checking:soon',
  ...both('model-weights.safetensors', 'model-step.onnx', 'model-manifest.json', 'model-folder'),
];

const CASES: Readonly<Record<Kind, Case>> = {
  good: {
    content: { patch: { streams: { s: { horizon: '20s' } } } },
    outcome: 'applied',
    kills: [
      ...both('received', 'verified', 'layers', 'staged', 'applying', 'probation', 'committed', 'settle'),
      'probation:soon',
    ],
  },
  covered: {
    content: { patch: { streams: { s: { horizon: '20s' } } } },
    covered: true,
    outcome: 'applied',
    kills: both('received', 'staged', 'probation'),
  },
  restart: {
    content: { patch: { max_streams: 77, streams: { s: { horizon: '20s' } } } },
    outcome: 'applied',
    kills: both('applying', 'probation', 'committed'),
  },
  harmful: {
    content: { patch: { streams: { s: { match: 'nowhere/{n}' } } } },
    outcome: 'rolled_back',
    // Before `applying` it is taken again right after the start, before the first forecast of that run.
    kills: both('staged', 'applying', 'rolling_back', 'rolled_back', 'settle'),
  },
  refused: {
    content: { patch: { streams: { s: { horizon: '0s' } } } },
    outcome: 'rejected',
    kills: both('received', 'idle'),
  },
  model: {
    content: { patch: { streams: { s: { horizon: '20s' } } } },
    model: 'good',
    outcome: 'applied',
    kills: [
      ...MODEL_INSTALL,
      ...both('received', 'verified', 'layers', 'staged', 'applying', 'probation', 'committed', 'settle'),
    ],
  },
  'harmful model': {
    content: { patch: { streams: { s: { match: 'nowhere/{n}' } } } },
    model: 'good',
    outcome: 'rolled_back',
    kills: [...both('applying', 'rolling_back', 'rolled_back', 'forgotten'), 'probation:soon'],
  },
  'wrong model': { content: {}, model: 'wrong', outcome: 'rejected', kills: both('dropped', 'forgotten') },
};

const ROWS = Object.entries(CASES).flatMap(([kind, { kills }]) =>
  kills.map((at) => [kind as Kind, at] as const),
);

describe.skipIf(!hasMosquitto)('kill -9 in every persisted state of a push', () => {
  let broker: Mosquitto;
  let watcher: Watcher;
  let feeding: NodeJS.Timeout;
  const models = new Map<string, { readonly files: Files; readonly claim: ModelClaim }>();
  let nodes = 0;

  beforeAll(async () => {
    ensureBuilt();
    broker = await startMosquitto();
    watcher = await watch(broker.url, 'gatecast/#');
    for (const name of ['good', 'wrong']) {
      // As good as the one that it replaces, which its live score must say.
      const files = shippedVariant(name, 1);
      files.set('MODEL_CARD.md', Buffer.alloc(100_000, 'card '));
      const claim = await modelClaim(name, files, 'mqtt');
      const golden = { tolerance: 0.02, output: [1] };
      models.set(name, { files, claim: name === 'wrong' ? { ...claim, golden } : claim });
    }
    let at = 0;
    feeding = setInterval(() => {
      at += 1;
      const body = JSON.stringify({ v: 20 + Math.sin(at / 7), t: Date.now() });
      watcher.client.publish('s/a', body, { qos: 0 });
    }, 250);
  }, 600_000);

  afterAll(async () => {
    clearInterval(feeding);
    await watcher?.close();
    await broker?.stop();
  });

  it.concurrent.each(ROWS)('%s, %s', async (kind, at) => {
    const { content, model, covered, outcome } = CASES[kind];
    const node = `n${++nodes}`;
    const dir = tempDir();
    const data = join(dir, 'data');
    mkdirSync(data);
    const jwks = join(dir, 'keys.jwks');
    writeFileSync(jwks, JSON.stringify({ keys: [ops.jwk] }));
    const document = plainConfig(
      { node, url: broker.url, dataDir: data },
      [
        { id: 's', match: 's/{n}', name: 's/{n}', ...SECONDS },
        ...(covered ? [{ id: 'all', match: `+/${node}/config/+`, interval: '1h', horizon: '1h' }] : []),
      ],
      { remote_config: { enabled: true, keys: jwks } },
    );
    const path = join(dir, 'gatecast.json');
    writeFileSync(path, JSON.stringify(document));
    const hashOf = (layer: Record<string, unknown>): string =>
      effectiveConfig({ document }, { node: layer }, layerOrder([])).hash;
    const before = effectiveConfig({ document }, {}, layerOrder([])).hash;
    const pushed = {
      ...(content.patch as Record<string, unknown> | undefined),
      ...(model !== undefined && { model: { name: model } }),
    };
    const after = outcome === 'rejected' && model === undefined ? '' : hashOf(pushed);

    const reports = (): Reported[] =>
      watcher
        .on(`gatecast/${node}/config/reported`)
        .filter(({ text }) => text !== '')
        .map(({ text }) => JSON.parse(text) as Reported);
    const leads = (): number[] =>
      watcher
        .on(`gatecast/${node}/forecast/s/a`)
        .filter(({ text }) => text !== '')
        .map(({ text }) => (JSON.parse(text) as { p50: number[] }).p50.length);
    const start = (env: Record<string, string>): Daemon => spawnProgram(['run', '-c', path], env);
    const sender = serve(node, model);
    const until = (what: string, condition: () => boolean): Promise<unknown> =>
      waitFor(what, condition).catch((error: unknown) => {
        throw new Error(`${error}; last: ${JSON.stringify(reports().at(-1))}\n${daemon.output()}`);
      });

    let daemon = start({ NODE_OPTIONS: `--import ${KILLER}`, GATECAST_KILL_AT: at });
    try {
      await waitFor('the first start', () => {
        if (daemon.process.exitCode !== null) throw new Error(daemon.output());
        return daemon.output().includes(' subscribed ');
      });
      // Silence is noticed only of streams that had forecasts.
      if (outcome === 'rolled_back') await waitFor('forecasts', () => leads().length > 6);
      const seconds = Math.floor(Date.now() / 1000);
      const payload = await sign(
        {
          aud: `node:gatecast/${node}`,
          iat: seconds,
          exp: seconds + 3600,
          version: 1,
          probation: outcome === 'rolled_back' ? '4s' : '2s',
          ...content,
          ...(model !== undefined && { model: models.get(model)?.claim }),
        },
        ops,
      );
      await watcher.client.publishAsync(`gatecast/${node}/config/desired`, payload, { qos: 1, retain: true });
      await until(`the kill at ${at}`, () => daemon.process.signalCode === 'SIGKILL');
      await watcher.caughtUp();

      const seen = reports().length;
      daemon = start({});
      await waitFor('the second start', () => reports().length > seen);
      await until(outcome, () => reports().at(-1)?.status === outcome && reports().at(-1)?.version === 1);
      const final = reports().at(-1);
      // Truthful from the first report on: what it says of the running config is one of the two, and the version goes with it.
      for (const one of reports().slice(seen)) {
        expect([before, after]).toContain(one.effective_hash);
        if (one.effective.version !== null && one.effective.status !== 'rejected')
          expect(one.effective_hash).toBe(after);
        else expect(one.effective_hash).toBe(before);
        expect(one.last_good.hash).toBe(one.last_good.version === null ? before : after);
      }
      expect(final?.effective_hash).toBe(outcome === 'applied' ? after : before);
      expect(final?.version).toBe(1);
      // What runs is what is reported.
      const count = leads().length;
      await waitFor('forecasts', () => leads().length > count + 1);
      expect(leads().at(-1)).toBe(outcome === 'applied' ? 20 : LEADS);
      const wanted = outcome === 'applied' && model !== undefined ? model : 'base';
      await until(`the group with ${wanted}`, () => {
        const groups = watcher.on(`gatecast/${node}/model/default`);
        return JSON.parse(groups.at(-1)?.text ?? '{}').champion === wanted;
      });
      // What is on disk is what runs, and nothing is left over.
      const layers = readLayers(diskFolder(join(data, 'remote')));
      const { hash } = effectiveConfig({ document }, layers, layerOrder([]));
      expect(hash).toBe(final?.effective_hash);
      validateConfig(document, path);
      expect(filesOf(join(data, 'remote')).filter((name) => /tmp|incoming|chunks/.test(name))).toEqual([]);
      expect(filesOf(join(data, 'models')).filter((name) => name !== 'slots.json')).toEqual(
        outcome === 'applied' && model !== undefined ? [model] : [],
      );
    } finally {
      sender();
      await daemon.end('SIGKILL');
      await watcher.client.publishAsync(`gatecast/${node}/config/desired`, '', { qos: 1, retain: true });
    }
  });

  /** Sends the chunks that a node asks for. @returns ends it */
  function serve(node: string, model: string | undefined): () => void {
    const found = model === undefined ? undefined : models.get(model);
    if (found === undefined) return () => {};
    const all = bytesOf(found.files);
    let seen = 0;
    const timer = setInterval(() => {
      const haves = watcher.on(`gatecast/${node}/model/${model}/have`);
      for (const { text } of haves.slice(seen)) {
        const { missing } = haveSchema.parse(JSON.parse(text));
        for (const [first, last] of missing)
          for (let number = first; number <= last; number++)
            watcher.client.publish(
              `gatecast/${node}/model/${model}/chunk/${number}`,
              Buffer.from(chunkAt(all, number)),
              { qos: 1 },
            );
      }
      seen = haves.length;
    }, 50);
    return () => clearInterval(timer);
  }
});

function filesOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
