// What fine-tuning of a site survives, with a stand-in for NATS. Against a real nats-server: test/fault/site-tuning.test.ts.
import { afterEach, expect, it, vi } from 'vitest';
import { SiteTuning } from '../../src/agent/site-tuning.ts';
import { configSchema } from '../../src/config/schema.ts';
import { createLogger } from '../../src/log.ts';
import { ModelRegistry } from '../../src/model/registry.ts';
import { encodeCheckpoint } from '../../src/site/checkpoint.ts';
import { partitionKey } from '../../src/site/names.ts';
import type { Site } from '../../src/site/nats.ts';
import { systemClock } from '../../src/system/clock.ts';
import { testSpec } from '../support/specs.ts';
import { tempDirs } from '../support/temp.ts';
import { waitFor } from '../support/wait.ts';

const tempDir = tempDirs();
const REFUSED = {
  status: 'refused',
  reason: 'no better',
  verdict: null,
  candidate: null,
  streams: 1,
  leftOut: [],
  training: null,
} as const;

const CHECKPOINT = encodeCheckpoint({
  seq: 1,
  loggedMs: 0,
  tickMs: 0,
  untilMs: null,
  bridges: [],
  streams: [
    {
      spec: testSpec('a'),
      open: [],
      last: null,
      newestMs: 0,
      grid: { intervalMs: 1000, leads: 10, buckets: 1000 },
      snapshot: null,
    },
  ],
  model: { number: 0, id: '' },
});

type Request = (error: Error | null, message: { respond(text: string): void }) => void;

/** A site with one partition, and one stream with enough history. */
function standIn() {
  let request: Request = () => {};
  const site = {
    name: 'plant',
    partitions: 1,
    ttlMs: 4000,
    nc: {
      subscribe: (_: string, { callback }: { callback: Request }) => {
        request = callback;
        return { unsubscribe: () => {} };
      },
      request: () => Promise.reject(new Error('no responders')),
    },
    leases: { create: async () => 1, update: async () => 1 },
    state: {
      get: async (key: string) =>
        key === partitionKey(0) ? { operation: 'PUT', revision: 1, json: () => ({ object: 'o' }) } : null,
      create: async () => 1,
      update: async () => 1,
    },
    checkpoints: { getBlob: async () => CHECKPOINT },
    jsm: { streams: { info: async () => ({ state: { messages: 0 } }) } },
  } as unknown as Site;
  return { site, request: (respond: (text: string) => void) => request(null, { respond }) };
}

let stop = async (): Promise<void> => {};
afterEach(() => stop());

function tuner() {
  const { site, request } = standIn();
  const registry = new ModelRegistry(tempDir());
  const logged: string[] = [];
  const finetune = configSchema.shape.finetune.parse({});
  let runs = 0;
  let kill: (error: Error) => void = () => {};
  const killed = new Promise<never>((_, reject) => {
    kill = reject;
  });
  killed.catch(() => {});
  const tuning = new SiteTuning({
    site,
    member: 'w',
    session: 's',
    config: () => ({ finetune, timezone: 'UTC' }),
    clock: systemClock,
    log: createLogger({
      level: () => 'info',
      write: (line) => void logged.push(line),
      now: systemClock.now,
      journald: false,
    }),
    registry,
    configured: () => 'base',
    facts: () => ({ loadPerCore: 0, temperatureC: null, cores: 2 }),
    isDraining: () => false,
    lookMs: 10,
    // The first run ends at once, the second one only when it is killed.
    start: () => ({
      result: runs++ === 0 ? Promise.resolve(REFUSED) : killed,
      stop: () => {},
      pause: () => {},
      resume: () => {},
      kill: async () => kill(new Error('killed')),
    }),
  });
  stop = () => tuning.stop();
  const has = (text: string): Promise<boolean> => waitFor(text, () => logged.join('').includes(text));
  return { tuning, registry, request, has };
}

it('goes on when the connection closes before a request is answered', async () => {
  const { tuning, request, has } = tuner();
  tuning.start();
  await waitFor('the lease', () => tuning.isHolder);
  request(() => {
    throw new Error('closed connection');
  });
  await has('a request for fine-tuning not answered');
  await waitFor('a run', () => tuning.state.last.status !== 'never');
});

it('ends a run whose files cannot be removed, and starts another one', async () => {
  const { tuning, registry, request, has } = tuner();
  vi.spyOn(registry, 'remove').mockImplementation(() => {
    throw new Error('read-only file system');
  });
  tuning.start();
  await has('the folder of the candidate not removed');
  let answer = '';
  request((text) => {
    answer = text;
  });
  await waitFor('the answer', () => answer);
  expect(JSON.parse(answer)).toEqual({ member: 'w', status: 'started', reason: '' });
});
