// What fine-tuning of a site survives, with a stand-in for NATS. Against a real nats-server: test/fault/site-tuning.test.ts.
import { afterEach, expect, it, vi } from 'vitest';
import { SiteTuning, type SiteTuningParts } from '../../src/agent/site-tuning.ts';
import { configSchema } from '../../src/config/schema.ts';
import { createLogger } from '../../src/log.ts';
import { ModelRegistry } from '../../src/model/registry.ts';
import { encodeCheckpoint } from '../../src/site/checkpoint.ts';
import { MODEL_KEY, partitionKey } from '../../src/site/names.ts';
import type { Site } from '../../src/site/nats.ts';
import { type Clock, systemClock } from '../../src/system/clock.ts';
import { FakeClock } from '../support/fake-clock.ts';
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
/** As the object store answers. */
const stored = () => ({
  data: new Blob([new Uint8Array(CHECKPOINT)]).stream(),
  error: Promise.resolve(null),
});

type Request = (error: Error | null, message: { respond(text: string): void }) => void;

interface SiteOptions {
  readonly ttlMs?: number;
  /** Replaces what the site answers. */
  readonly leases?: object;
  readonly state?: object;
  readonly checkpoints?: object;
  readonly members?: object;
  readonly jsm?: object;
  /** Answers to requests for scores. */
  readonly scores?: () => unknown;
}

/** A site with one partition, and one stream with enough history. */
function standIn({ scores, ...change }: SiteOptions) {
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
      request: () =>
        scores === undefined ? Promise.reject(new Error('no responders')) : Promise.resolve({ json: scores }),
    },
    leases: { create: async () => 1, update: async () => 1 },
    state: {
      get: async (key: string) =>
        key === partitionKey(0) ? { operation: 'PUT', revision: 1, json: () => ({ object: 'o' }) } : null,
      create: async () => 1,
      update: async () => 1,
    },
    checkpoints: { get: async () => stored() },
    jsm: { streams: { info: async () => ({ state: { messages: 0 } }) } },
    ...change,
  } as unknown as Site;
  return { site, request: (respond: (text: string) => void) => request(null, { respond }) };
}

let stop = async (): Promise<void> => {};
afterEach(() => stop());

interface TunerOptions extends SiteOptions {
  readonly enabled?: boolean;
  /** Called before each attempt to take or keep the lease. */
  readonly attempted?: () => void;
  readonly clock?: Clock;
  readonly load?: () => number;
  readonly start?: SiteTuningParts['start'];
}

function tuner({
  enabled = true,
  attempted = () => {},
  clock = systemClock,
  load = () => 0,
  start,
  ...siteOptions
}: TunerOptions = {}) {
  const { site, request } = standIn(siteOptions);
  const registry = new ModelRegistry(tempDir());
  const logged: string[] = [];
  const finetune = configSchema.shape.finetune.parse({ enabled });
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
    clock,
    log: createLogger({
      level: () => 'info',
      write: (line) => void logged.push(line),
      now: systemClock.now,
      journald: false,
    }),
    registry,
    configured: () => 'base',
    facts: () => ({ loadPerCore: load(), temperatureC: null, cores: 2 }),
    isDraining: () => {
      attempted();
      return false;
    },
    lookMs: 10,
    // The first run ends at once, the second one only when it is killed.
    start:
      start ??
      (() => ({
        result: runs++ === 0 ? Promise.resolve(REFUSED) : killed,
        stop: () => {},
        pause: () => {},
        resume: () => {},
        kill: async () => kill(new Error('killed')),
      })),
  });
  stop = () => tuning.stop();
  const has = (text: string): Promise<boolean> => waitFor(text, () => logged.join('').includes(text));
  return { tuning, registry, request, has };
}

it('leaves no timer if it ends in the midst of its work', async () => {
  const clock = new FakeClock();
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  let answer = (_revision: number): void => {};
  const create = () =>
    new Promise<number>((resolve) => {
      answer = resolve;
    });
  const { tuning } = tuner({ clock, leases: { create } });
  tuning.start();
  clock.advance(0);
  await turn();
  tuning.abandon();
  answer(1);
  await turn();
  expect(tuning.isHolder).toBe(true);
  expect(clock.nextDelayMs).toBeNull();
});

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

it('pauses a run while the machine is busy, also one that still reads its data, and says so', async () => {
  let load = 0;
  const asked: string[] = [];
  let end: (error: Error) => void = () => {};
  const { tuning } = tuner({
    load: () => load,
    checkpoints: {
      get: async () => {
        // The run has begun: its first reading found out whether there is enough to learn from.
        if (tuning.state.last.status === 'running') {
          load = 3;
          await waitFor('the pause', () => tuning.state.last.status === 'paused');
        }
        return stored();
      },
    },
    start: () => ({
      result: new Promise((_, reject) => {
        end = reject;
      }),
      stop: () => {},
      pause: () => asked.push('pause'),
      resume: () => asked.push('resume'),
      kill: async () => end(new Error('killed')),
    }),
  });
  tuning.start();
  await waitFor('the pause of the worker', () => asked.length > 0);
  expect(tuning.state.last).toMatchObject({ status: 'paused', reason: expect.stringMatching(/busy/) });
  load = 0;
  await waitFor('the run to go on', () => tuning.state.last.status === 'running');
  expect(asked).toEqual(['pause', 'resume']);
});

const NOTHING = { stop: () => {}, pause: () => {}, resume: () => {}, kill: async () => {} };

it('answers that a run was started also if that run has ended by then', async () => {
  let asked = false;
  let runs = 0;
  let goOn = (): void => {};
  const ended = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  const { tuning, request } = tuner({
    start: () => {
      runs++;
      return { ...NOTHING, result: Promise.resolve(REFUSED) };
    },
    checkpoints: {
      // The look of the request waits for its checkpoint until a look of the schedule has started the run, and it has ended.
      get: async () => {
        if (asked) {
          asked = false;
          await ended;
        }
        return stored();
      },
    },
  });
  tuning.start();
  await waitFor('the first run', () => tuning.state.last.status === 'refused' && tuning.state.last.endedMs);
  asked = true;
  let answer = '';
  request((text) => {
    answer = text;
  });
  await waitFor('a second run', () => runs === 2 && tuning.state.last.endedMs);
  goOn();
  await waitFor('the answer', () => answer);
  expect(JSON.parse(answer)).toEqual({ member: 'w', status: 'started', reason: '' });
});

it('reads what other workers announce only where it holds the lease or could take it', async () => {
  let taken = true;
  let looks = 0;
  const info = vi.fn(async () => ({
    state: { messages: 0, subjects: { '$KV.gatecast-plant-members.worker.other': 1 } },
  }));
  const { tuning } = tuner({
    enabled: false,
    ttlMs: 40,
    leases: {
      get: async () => {
        looks++;
        return taken ? { operation: 'PUT', json: () => ({ session: 'other' }) } : null;
      },
      create: async () => 1,
      update: async () => 1,
    },
    members: { get: async () => ({ operation: 'PUT', json: () => ({ tunes: false }) }) },
    jsm: { streams: { info } },
  });
  tuning.start();
  await waitFor('some looks', () => looks >= 5);
  expect(info).not.toHaveBeenCalled();
  expect(tuning.isHolder).toBe(false);
  // The holder is gone, and no other worker fine-tunes.
  taken = false;
  await waitFor('the lease', () => tuning.isHolder);
  expect(info).toHaveBeenCalled();
});

it('takes the lease again only when the run of its former tenure has ended', async () => {
  let lost = false;
  let creates = 0;
  let holds = 0;
  let end: (error: Error) => void = () => {};
  const result = new Promise<never>((_, reject) => {
    end = reject;
  });
  result.catch(() => {});
  const { tuning } = tuner({
    ttlMs: 40,
    attempted: () => {
      holds++;
    },
    start: () => ({ ...NOTHING, result }),
    leases: {
      get: async () => null,
      create: async () => ++creates,
      update: async () => {
        if (lost) throw Object.assign(new Error('wrong last sequence'), { code: 10071 });
        return 1;
      },
    },
  });
  tuning.start();
  await waitFor('a run', () => tuning.state.last.status === 'running');
  lost = true;
  await waitFor('the loss', () => !tuning.isHolder);
  lost = false;
  // Its process is killed, but has not ended: the lease stays free for other workers.
  const before = holds;
  await waitFor('several attempts', () => holds >= before + 5);
  try {
    expect(creates).toBe(1);
    expect(tuning.isHolder).toBe(false);
  } finally {
    end(new Error('killed'));
  }
  await waitFor('the lease', () => tuning.isHolder && creates === 2);
});

it('counts the probation of a model from when the bridges have written it into the logs', async () => {
  const record = {
    number: 1,
    id: 'x',
    name: 'new',
    since: '',
    announced: true,
    former: [],
    probationMs: 60_000,
  };
  let inUse = 0;
  // Time passes from one look to the next.
  let nowMs = 0;
  const clock: Clock = { ...systemClock, monotonic: () => nowMs };
  let asked = 0;
  const { tuning } = tuner({
    clock,
    state: {
      get: async (key: string) =>
        key === MODEL_KEY
          ? { operation: 'PUT', revision: 1, json: () => record }
          : key === partitionKey(0)
            ? { operation: 'PUT', revision: 1, json: () => ({ object: null }) }
            : null,
      create: async () => 1,
      update: async () => 1,
    },
    scores: () => {
      asked++;
      nowMs += 10_000;
      return { model: inUse, scores: [] };
    },
  });
  tuning.start();
  await waitFor('looks', () => asked >= 8);
  expect(tuning.state.probation).toMatchObject({ number: 1, elapsedMs: 0 });
  inUse = 1;
  await waitFor('the time that counts', () => (tuning.state.probation?.elapsedMs ?? 1) > 0);
});
