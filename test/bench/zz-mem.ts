/**
 * `npx tsx test/bench/compare.ts FOLDER FOLDER ...`: several builds of gatecast (each folder has `dist` and `models`) at one broker,
 * at the same time and under the same load: 1,000 streams at 1 Hz, each reading closes a bucket. Prints the processor time of a
 * reading for each. Other work on the machine slows all of them alike, so that the ratio counts.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startMosquitto } from '../support/mosquitto.ts';
import { Sender } from './load.ts';
import { paced } from './path.ts';
import { cpuMs, residentMb } from './process.ts';
import { type Agent, startAgent } from './subjects.ts';

interface Build {
  readonly root: string;
  readonly agent: Agent;
  readonly dir: string;
}

const broker = await startMosquitto('allow_anonymous true\nset_tcp_nodelay true\nmax_queued_messages 0');
const sender = await Sender.connect(broker.port);
const builds: Build[] = [];
try {
  for (const [at, root] of process.argv.slice(2).entries()) {
    const dir = mkdtempSync(join(tmpdir(), 'gatecast-bench-'));
    const options = { dir, url: broker.url, timed: true, root, node: `build-${at}`, unpinned: true };
    builds.push({ root, dir, agent: await startAgent(options) });
  }
  const [first] = builds;
  if (first === undefined) throw new Error('name the folders of the builds');
  const before = await Promise.all(
    builds.map(async ({ agent }) => ({ ms: cpuMs(agent.pid), forecasts: await agent.published() })),
  );
  await paced(first.agent, sender, null);
  for (const [at, { root, agent }] of builds.entries()) {
    const forecasts = (await agent.published()) - (before[at]?.forecasts ?? 0);
    const costUs = (1000 * (cpuMs(agent.pid) - (before[at]?.ms ?? 0))) / forecasts;
    console.log(
      `${root}: ${forecasts} forecasts, ${costUs.toFixed(0)} us of processor each, ${residentMb(agent.pid).toFixed(0)} MB`,
    );
  }
  for (const {agent} of builds) { const {execSync} = await import('node:child_process'); console.log(execSync(`grep -E 'Rss|Anonymous' /proc/${agent.pid}/smaps_rollup; awk '/^[0-9a-f]+-[0-9a-f]+ /{name=\$6; if(name=="")name="[anon]"} /^Rss:/{r[name]+=\$2} END{for(n in r) if(r[n]>400) print r[n], n}' /proc/${agent.pid}/smaps | sort -rn | head -12`).toString()); }
} finally {
  for (const { agent, dir } of builds) {
    agent.kill();
    rmSync(dir, { recursive: true, force: true });
  }
  sender.close();
  await broker.stop();
}
