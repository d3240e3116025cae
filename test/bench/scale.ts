/**
 * Fleets on the wall clock, without time stamps: 10,000 streams every 10 s, whose buckets the clock closes all at once; 100
 * streams at 1 Hz; 10 streams a minute apart. Measures what is published, processor time, memory, bytes written a sample, and for
 * the large fleet the stop in the middle of a round, what the stop leaves in the store, and the start after it.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startMosquitto, watch } from '../support/mosquitto.ts';
import { sleep, waitFor } from '../support/wait.ts';
import { publishPacket, Sender } from './load.ts';
import { blockBytes, cpuMs, peakMb, residentMb } from './process.ts';
import type { Bench, Figure } from './report.ts';
import { type Agent, startAgent } from './subjects.ts';

interface Fleet {
  readonly streams: number;
  readonly intervalS: number;
  /** Before the clock starts: every stream is met and has a forecast of the network. */
  readonly warmUpS: number;
  readonly measuredS: number;
  /** Most bytes that the store may write for a sample. */
  readonly bytes: number;
}

const MANY: Fleet = { streams: 10_000, intervalS: 10, warmUpS: 65, measuredS: 60, bytes: 100 };
const FEW: Fleet = { streams: 100, intervalS: 1, warmUpS: 70, measuredS: 240, bytes: 100 };
const SLOW: Fleet = { streams: 10, intervalS: 60, warmUpS: 70, measuredS: 600, bytes: 150 };

/** Sends each stream's readings at its own phase of the interval, until it is stopped. */
class Load {
  private running = true;
  private readonly ended: Promise<void>;

  /** @param sent readings that were sent before */
  constructor(
    private readonly sender: Sender,
    private readonly fleet: Fleet,
    public sent = 0,
  ) {
    this.ended = this.run();
  }

  private async run(): Promise<void> {
    const { streams, intervalS } = this.fleet;
    const begun = performance.now();
    const first = this.sent;
    while (this.running) {
      const due = first + Math.floor(((performance.now() - begun) / 1000 / intervalS) * streams);
      const packets: Buffer[] = [];
      for (; this.sent < due; this.sent++) {
        const stream = this.sent % streams;
        const i = Math.floor(this.sent / streams);
        const value = (20 + 5 * Math.sin(i / 40 + stream) + (i % 7) / 50).toFixed(3);
        packets.push(publishPacket(`load/${stream}`, `{"value":${value}}`));
      }
      if (packets.length > 0) await this.sender.send(Buffer.concat(packets));
      await sleep(2);
    }
  }

  stop(): Promise<void> {
    this.running = false;
    return this.ended;
  }
}

interface Place {
  readonly dir: string;
  readonly url: string;
  readonly sender: Sender;
}

interface Measured {
  readonly cores: number;
  readonly memoryMb: number;
  readonly peakMb: number;
  readonly costUs: number;
  /** Forecasts that a subscriber received, beside those due. */
  readonly published: number;
  readonly bytes: number;
  readonly blockBytes: number;
}

/** Waits for a moment shortly after the clock has closed a bucket of every stream. */
async function afterBoundary(intervalS: number, ms: number): Promise<void> {
  const passed = Date.now() % (1000 * intervalS);
  await sleep(1000 * intervalS - passed + ms);
}

async function measure(
  agent: Agent,
  load: Load,
  { fleet, url }: { fleet: Fleet; url: string },
): Promise<Measured> {
  const eyes = await watch(url, 'gatecast/bench/forecast/#');
  let seen = 0;
  eyes.client.on('message', (_topic, _payload, packet) => {
    if (!packet.retain) seen++;
  });
  // What is retained comes first. The clock closes as many buckets of each stream as there are intervals.
  await afterBoundary(fleet.intervalS, 500 * fleet.intervalS);
  seen = 0;
  const before = {
    cpu: cpuMs(agent.pid),
    at: performance.now(),
    sent: load.sent,
    bytes: await agent.metric('store_written_bytes_total'),
    block: blockBytes(agent.pid),
    forecasts: await agent.published(),
  };
  await sleep(1000 * fleet.measuredS);
  const seconds = (performance.now() - before.at) / 1000;
  const busyMs = cpuMs(agent.pid) - before.cpu;
  const samples = load.sent - before.sent;
  const found = {
    cores: busyMs / 1000 / seconds,
    memoryMb: residentMb(agent.pid),
    peakMb: peakMb(agent.pid),
    costUs: (1000 * busyMs) / ((await agent.published()) - before.forecasts),
    published: seen / ((fleet.measuredS / fleet.intervalS) * fleet.streams),
    bytes: ((await agent.metric('store_written_bytes_total')) - before.bytes) / samples,
    blockBytes: (blockBytes(agent.pid) - before.block) / samples,
  };
  await eyes.close();
  return found;
}

const nameOf = ({ streams, intervalS }: Fleet): string =>
  `${streams.toLocaleString('en')} streams every ${intervalS} s`;

async function small(fleet: Fleet, { dir, url, sender }: Place): Promise<Figure[]> {
  const agent = await startAgent({ dir, url, intervalS: fleet.intervalS });
  const load = new Load(sender, fleet);
  try {
    await sleep(1000 * fleet.warmUpS);
    const found = await measure(agent, load, { fleet, url });
    const what = nameOf(fleet);
    return [
      { what: `${what}: processor`, value: 100 * found.cores, unit: '% of a core', limit: null },
      { what: `${what}: resident memory`, value: found.memoryMb, unit: 'MB', limit: null },
      {
        what: `${what}: bytes written a sample`,
        value: found.bytes,
        unit: 'B',
        limit: { side: 'most', value: fleet.bytes },
      },
      { what: `${what}: the same as pages of the disk`, value: found.blockBytes, unit: 'B', limit: null },
    ];
  } finally {
    await load.stop();
    agent.kill();
  }
}

async function many(fleet: Fleet, { dir, url, sender }: Place): Promise<Figure[]> {
  const what = nameOf(fleet);
  const agent = await startAgent({ dir, url, intervalS: fleet.intervalS });
  let load = new Load(sender, fleet);
  let again: Agent | null = null;
  let eyes: Awaited<ReturnType<typeof watch>> | null = null;
  try {
    await sleep(1000 * fleet.warmUpS);
    const found = await measure(agent, load, { fleet, url });
    const dropped = await agent.dropped();
    await load.stop();
    await waitFor('the last readings', async () => (await agent.taken()) === load.sent);
    const { sent } = load;
    await afterBoundary(fleet.intervalS, 300);
    const stopping = performance.now();
    await agent.stop();
    const stopS = (performance.now() - stopping) / 1000;
    eyes = await watch(url, 'gatecast/bench/forecast/#');
    const names = new Set<string>();
    await sleep(2000);
    let firstMs = 0;
    eyes.client.on('message', (topic, _payload, packet) => {
      if (packet.retain) return;
      if (names.size === 0) firstMs = performance.now();
      names.add(topic);
    });
    const starting = performance.now();
    again = await startAgent({ dir, url, intervalS: fleet.intervalS });
    const startS = (performance.now() - starting) / 1000;
    const kept = await again.metric('store_samples');
    load = new Load(sender, fleet, sent);
    const patience = performance.now() + 60_000;
    while (names.size < fleet.streams && performance.now() < patience) await sleep(50);
    const allS =
      names.size < fleet.streams ? Number.POSITIVE_INFINITY : (performance.now() - starting) / 1000;
    return [
      {
        what: `${what}: published (dropped: ${dropped})`,
        value: 100 * found.published,
        unit: '% of those due',
        limit: { side: 'least', value: 99.5 },
      },
      { what: `${what}: processor`, value: 100 * found.cores, unit: '% of a core', limit: null },
      { what: `${what}: processor of a forecast`, value: found.costUs, unit: 'us', limit: null },
      {
        what: `${what}: resident memory`,
        value: found.memoryMb,
        unit: 'MB',
        limit: { side: 'most', value: 600 },
      },
      { what: `${what}: resident memory, most`, value: found.peakMb, unit: 'MB', limit: null },
      {
        what: `${what}: bytes written a sample`,
        value: found.bytes,
        unit: 'B',
        limit: { side: 'most', value: fleet.bytes },
      },
      {
        what: `${what}: stop in the middle of a round`,
        value: stopS,
        unit: 's',
        limit: { side: 'most', value: 2 },
      },
      {
        what: `${what}: readings in the store after the stop, of ${sent}`,
        value: (100 * kept) / sent,
        unit: '%',
        limit: { side: 'least', value: 100 },
      },
      {
        what: `${what}: start to the connection`,
        value: startS,
        unit: 's',
        limit: { side: 'most', value: 60 },
      },
      {
        what: `${what}: start to the first forecast`,
        value: (firstMs - starting) / 1000,
        unit: 's',
        limit: null,
      },
      { what: `${what}: start to a forecast of every stream`, value: allS, unit: 's', limit: null },
    ];
  } finally {
    await load.stop();
    await eyes?.close();
    agent.kill();
    again?.kill();
  }
}

const bench = (name: string, fleet: Fleet, measured: typeof many): Bench => ({
  name,
  async run() {
    const broker = await startMosquitto('allow_anonymous true\nset_tcp_nodelay true\nmax_queued_messages 0');
    const sender = await Sender.connect(broker.port);
    const dir = mkdtempSync(join(tmpdir(), 'gatecast-bench-'));
    try {
      return await measured(fleet, { dir, url: broker.url, sender });
    } finally {
      sender.close();
      await broker.stop();
      rmSync(dir, { recursive: true, force: true });
    }
  },
});

/** Three minutes. */
export const manyStreams: Bench = bench('many', MANY, many);
/** Five minutes. */
export const fewStreams: Bench = bench('few', FEW, small);
/** Twelve minutes, mostly idle. */
export const slowStreams: Bench = bench('slow', SLOW, small);
