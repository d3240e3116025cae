/**
 * `npx tsx test/bench/profile.ts paced|flood [--qos 1] [--top 40] [--allocations|--promoted]`: where the processor time of the agent's main thread goes in a
 * case of `path.ts`, by source file and function, in us for each reading; with `--allocations` what is allocated, in bytes for
 * each reading, with `--promoted` what of it outlives the young generation. Build first. Garbage collection on helper threads
 * and the runtime's own threads are in the total of the process, not in the profile.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { SourceMap } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startMosquitto } from '../support/mosquitto.ts';
import { Sender } from './load.ts';
import { FLOOD, flood, paced, warmUp } from './path.ts';
import { startAgent } from './subjects.ts';

interface Frame {
  readonly functionName: string;
  readonly url: string;
  readonly lineNumber: number;
  readonly columnNumber: number;
}

interface Profile {
  readonly nodes: readonly { readonly id: number; readonly callFrame: Frame }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

const maps = new Map<string, SourceMap | null>();

function mapOf(url: string): SourceMap | null {
  const known = maps.get(url);
  if (known !== undefined) return known;
  let map: SourceMap | null = null;
  try {
    map = new SourceMap(JSON.parse(readFileSync(`${fileURLToPath(url)}.map`, 'utf8')));
  } catch {
    // A file of Node's own, or one without a map.
  }
  maps.set(url, map);
  return map;
}

/** `src/` or package path of a frame. */
function fileOf({ url, lineNumber, columnNumber }: Frame): string {
  const entry = url.startsWith('file:') ? mapOf(url)?.findEntry(lineNumber, columnNumber) : undefined;
  const source = entry !== undefined && 'originalSource' in entry ? String(entry.originalSource) : url;
  return source.replace(/^.*\/(?=src\/|node_modules\/)/, '');
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    qos: { type: 'string', default: '0' },
    top: { type: 'string', default: '40' },
    allocations: { type: 'boolean', default: false },
    promoted: { type: 'boolean', default: false },
  },
});
const qos = values.qos === '1' ? 1 : 0;
const dir = mkdtempSync(join(tmpdir(), 'gatecast-profile-'));
const allocations = join(dir, 'allocations.json');
process.env.GATECAST_BENCH_ALLOCATIONS = allocations;
const allocates = values.allocations || values.promoted;
process.env.GATECAST_BENCH_NODE = allocates
  ? `--import=${new URL(`allocations.mjs${values.promoted ? '?promoted' : ''}`, import.meta.url).href}`
  : `--cpu-prof --cpu-prof-interval=500 --cpu-prof-dir=${dir}`;
const broker = await startMosquitto('allow_anonymous true\nset_tcp_nodelay true\nmax_queued_messages 0');
const sender = await Sender.connect(broker.port);
const timed = positionals[0] === 'paced';
const agent = await startAgent({ dir, url: broker.url, timed, qos });
let readings = FLOOD;
let costUs: number;
if (timed) {
  const found = await paced(agent, sender, broker);
  costUs = found.costUs;
  readings = await agent.taken();
} else {
  await warmUp(sender);
  costUs = 1e6 / (await flood(agent, sender, FLOOD, qos)).perCpuSecond;
}
await agent.stop();
sender.close();
await broker.stop();

const bySelf = new Map<string, number>();
const byFile = new Map<string, number>();
const add = (sums: Map<string, number>, key: string, amount: number): void => {
  sums.set(key, (sums.get(key) ?? 0) + amount / readings);
};
const count = (frame: Frame, amount: number): void => {
  const source = fileOf(frame);
  add(bySelf, `${frame.functionName || '(anonymous)'}  ${source}:${frame.lineNumber}`, amount);
  add(byFile, source || frame.functionName, amount);
};

interface Allocation {
  readonly callFrame: Frame;
  readonly selfSize: number;
  readonly children: readonly Allocation[];
}

function countAllocations({ callFrame, selfSize, children }: Allocation): void {
  count(callFrame, selfSize);
  for (const child of children) countAllocations(child);
}

function countTimes({ nodes, samples, timeDeltas }: Profile): void {
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]));
  for (const [at, id] of samples.entries()) {
    const frame = frames.get(id);
    if (frame !== undefined && frame.functionName !== '(idle)') count(frame, timeDeltas[at] ?? 0);
  }
}

if (allocates) countAllocations((JSON.parse(readFileSync(allocations, 'utf8')) as { head: Allocation }).head);
else {
  const file = readdirSync(dir).find((name) => name.endsWith('.cpuprofile')) ?? '';
  countTimes(JSON.parse(readFileSync(join(dir, file), 'utf8')) as Profile);
}
rmSync(dir, { recursive: true, force: true });
const print = (title: string, sums: Map<string, number>): void => {
  console.log(`\n${title}`);
  const sorted = [...sums].sort((a, b) => b[1] - a[1]).slice(0, Number(values.top));
  for (const [key, amount] of sorted) console.log(`${amount.toFixed(2).padStart(9)}  ${key}`);
};
const total = [...byFile.values()].reduce((sum, amount) => sum + amount, 0);
const unit = allocates ? 'bytes' : 'us';
console.log(
  `${costUs.toFixed(1)} us of processor a reading, all threads; the profile of the main thread has ${total.toFixed(1)} ${unit}`,
);
print(`${unit} a reading, by file`, byFile);
print(`${unit} a reading, by function`, bySelf);
