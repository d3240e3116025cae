/**
 * What `store.durability: power` costs: two agents at one broker take the same readings at the same time, 100 streams at 1 Hz
 * with QoS 1, one of them with `crash`, the other with `power`. Processor time, and bytes that the kernel sends to the disk
 * (whole pages; without the log of the file system). Both are compared within the run.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startMosquitto } from '../support/mosquitto.ts';
import { sleep, waitFor } from '../support/wait.ts';
import { publishPacket, Sender } from './load.ts';
import { blockBytes, cpuMs } from './process.ts';
import type { Bench, Figure } from './report.ts';
import { type Agent, startAgent } from './subjects.ts';

const STREAMS = 100;
const WARM_UP_S = 60;
const MEASURED_S = Number(process.env.GATECAST_BENCH_SECONDS ?? 180);
const MODES = ['crash', 'power'] as const;
const DAY_S = 86_400;

interface Marks {
  readonly cpuMs: number;
  readonly bytes: number;
  readonly samples: number;
}

const marksOf = async (agent: Agent): Promise<Marks> => ({
  cpuMs: cpuMs(agent.pid),
  bytes: blockBytes(agent.pid),
  samples: await agent.taken(),
});

export const durability: Bench = {
  name: 'durability',
  async run() {
    const folder = mkdtempSync(join(tmpdir(), 'gatecast-bench-'));
    const broker = await startMosquitto('allow_anonymous true');
    const sender = await Sender.connect(broker.port);
    const agents: Agent[] = [];
    let sent = 0;
    const begunMs = performance.now();
    const feed = setInterval(() => {
      const packets: Buffer[] = [];
      for (const due = ((performance.now() - begunMs) / 1000) * STREAMS; sent < due; sent++) {
        const value = (20 + 5 * Math.sin(sent / 4000)).toFixed(3);
        packets.push(publishPacket(`load/${sent % STREAMS}`, `{"value":${value}}`, 1));
      }
      if (packets.length > 0) void sender.send(Buffer.concat(packets));
    }, 10);
    try {
      for (const mode of MODES) {
        const dir = join(folder, mode);
        mkdirSync(dir);
        agents.push(
          await startAgent({ dir, url: broker.url, qos: 1, node: mode, unpinned: true, durability: mode }),
        );
      }
      await waitFor('readings', async () => ((await agents.at(-1)?.taken()) ?? 0) > 0, 60_000);
      await sleep(1000 * WARM_UP_S);
      const before = await Promise.all(agents.map(marksOf));
      const from = performance.now();
      await sleep(1000 * MEASURED_S);
      const seconds = (performance.now() - from) / 1000;
      const after = await Promise.all(agents.map(marksOf));
      const [crash, power] = after.map((mark, at) => ({
        share: (100 * (mark.cpuMs - (before[at]?.cpuMs ?? 0))) / 1000 / seconds,
        bytes: mark.bytes - (before[at]?.bytes ?? 0),
        samples: mark.samples - (before[at]?.samples ?? 0),
      }));
      if (crash === undefined || power === undefined) throw new Error('an agent is missing');
      const what = `${STREAMS} streams at 1 Hz, QoS 1`;
      const figures: Figure[] = MODES.flatMap((mode, at) => {
        const one = at === 0 ? crash : power;
        const named = `${what}, ${mode}`;
        return [
          { what: `${named}: processor`, value: one.share, unit: '% of a core', limit: null },
          {
            what: `${named}: to the disk, a reading`,
            value: one.bytes / one.samples,
            unit: 'B',
            limit: null,
          },
          {
            what: `${named}: to the disk, a day`,
            value: ((one.bytes / seconds) * DAY_S) / 1e9,
            unit: 'GB',
            limit: null,
          },
          {
            what: `${named}: readings taken of those sent`,
            value: one.samples / (STREAMS * seconds),
            unit: '',
            limit: { side: 'least', value: 0.98 },
          },
        ];
      });
      return [
        ...figures,
        {
          what: `${what}: processor that power takes beyond crash`,
          value: power.share - crash.share,
          unit: '% of a core',
          limit: { side: 'most', value: 3 },
        },
        {
          what: `${what}: processor, power / crash`,
          value: power.share / crash.share,
          unit: 'x',
          limit: null,
          lowerIsBetter: true,
        },
        {
          what: `${what}: bytes to the disk, power / crash`,
          value: power.bytes / crash.bytes,
          unit: 'x',
          limit: null,
          lowerIsBetter: true,
        },
      ];
    } finally {
      clearInterval(feed);
      for (const agent of agents) agent.kill();
      await broker.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  },
};
