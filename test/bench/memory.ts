/**
 * What training needs: how long its graph takes to load, what the worker's process takes in memory, and that neither
 * depends on how long the sequences are, because back-propagation is truncated and the state carried.
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSession } from '../../src/model/sessions.ts';
import type { NetworkSpec } from '../../src/network/spec.ts';
import { buildTrainingGraph } from '../../src/network/training-graph.ts';
import { forecastSpec, TRAINING_DEFAULTS } from '../../src/training/job.ts';
import { sleep } from '../support/wait.ts';
import { watchMemory } from './process.ts';
import type { Bench, Figure } from './report.ts';
import { shippedSpec } from './shipped.ts';

/** The heap's young generation otherwise grows by tens of megabytes in the first minutes, whatever runs. */
const SMALL_HEAP = '--max-semi-space-size=2';
const LENGTHS = [1000, 10_000, 50_000];
/** Of a week of readings a minute, or a month at five minutes. */
const STREAMS = 20;
const BUCKETS = 8064;

/** Seconds from a description of the network to a session that can run: the least of several, as other work only adds. */
async function loadSeconds(spec: NetworkSpec): Promise<number> {
  const { steps, stride, leadsPerOrigin } = TRAINING_DEFAULTS;
  const times: number[] = [];
  for (let i = 0; i < 5; i++) {
    const started = performance.now();
    const graph = buildTrainingGraph(spec, { steps, originStride: stride, leads: leadsPerOrigin });
    const session = await createSession(graph);
    times.push((performance.now() - started) / 1000);
    await session.release();
  }
  return Math.min(...times);
}

/** Peak of a whole `gatecast train`: its worker and the process that waits for it, MB. */
async function workerPeak(spec: NetworkSpec): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'gatecast-bench-'));
  const width = spec.head.kind === 'lead' ? spec.head.width : 32;
  const flags = {
    generated: STREAMS,
    'generated-steps': BUCKETS,
    cell: spec.cell,
    hidden: spec.hidden,
    width,
    'max-steps': 150,
    out: join(folder, 'model'),
  };
  const args = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, `${value}`]);
  const child = spawn(process.execPath, ['dist/gatecast.js', 'train', ...args], { stdio: 'ignore' });
  const ended = () => child.exitCode !== null || child.signalCode !== null;
  const memory = watchMemory(child.pid!);
  try {
    while (!ended()) await sleep(100);
  } finally {
    memory.stop();
    rmSync(folder, { recursive: true, force: true });
  }
  if (child.exitCode !== 0) throw new Error(`gatecast train ended with code ${child.exitCode}`);
  return memory.stop();
}

/** One pass over a sequence in a process of its own: seconds, and its peak in MB. */
function longSequence(steps: number): { seconds: number; peak: number } {
  const script = join(import.meta.dirname, 'long-child.ts');
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    [SMALL_HEAP, ...process.execArgv, script, `${steps}`],
    { encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(`the pass over ${steps} steps failed: ${stderr}`);
  return JSON.parse(stdout) as { seconds: number; peak: number };
}

export const memory: Bench = {
  name: 'memory',
  async run() {
    const shipped = shippedSpec() ?? forecastSpec({ cell: 'gru', layers: 1, hidden: 64, width: 48 });
    const figures: Figure[] = [];
    for (const cell of ['rnn-tanh', 'lstm', 'gru'] as const) {
      figures.push({
        what: `training graph, ${cell}, H = ${shipped.hidden}, T = ${TRAINING_DEFAULTS.steps}: description to session`,
        value: await loadSeconds({ ...shipped, cell }),
        unit: 's',
        limit: { side: 'most', value: 0.5 },
      });
    }
    figures.push({
      what: `training worker, ${shipped.cell}, H = ${shipped.hidden}, ${STREAMS} streams of ${BUCKETS} buckets: peak of both processes`,
      value: await workerPeak(shipped),
      unit: 'MB',
      limit: { side: 'most', value: 250 },
    });
    const [shortest, ...longer] = LENGTHS.map((steps) => ({ steps, ...longSequence(steps) }));
    const rows = [shortest!, ...longer];
    for (const { steps, seconds, peak } of rows) {
      const what = `truncated back-propagation, gru, H = 64, batch 32, chunks of 100, ${steps.toLocaleString('en')} steps`;
      figures.push({ what, value: seconds, unit: 's', limit: null });
      const most = steps === shortest!.steps ? null : 1.1 * shortest!.peak;
      figures.push({
        what: 'the same, peak of the process',
        value: peak,
        unit: 'MB',
        limit: most === null ? null : { side: 'most', value: most },
      });
    }
    return figures;
  },
};
