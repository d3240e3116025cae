/** `gatecast train --search`: the search's trainings in workers, its memory on disk, its table, its drawing. */
import { existsSync, readFileSync } from 'node:fs';
import { createStepper } from '../model/sessions.ts';
import { createRandom } from '../network/random.ts';
import type { Cell } from '../network/spec.ts';
import { buildStepGraph } from '../network/step-graph.ts';
import { countWeights, initialWeights } from '../network/weights.ts';
import { sha256, writeFileAtomic } from '../system/files.ts';
import { startTraining } from '../training/client.ts';
import { forecastSpec, type TrainingJob } from '../training/job.ts';
import {
  type Candidate,
  foldOf,
  grid,
  nameOf,
  SEARCH_DEFAULTS,
  type SearchResult,
  search,
  searchSvg,
  type Trial,
} from '../training/search.ts';
import type { ProgressBar } from './shared/progress.ts';

export interface SearchFlags {
  readonly searchCells: readonly Cell[];
  readonly searchLayers: readonly number[];
  readonly searchHidden: readonly number[];
  readonly searchRates: readonly number[];
  readonly searchSteps: number;
  readonly searchRounds: number;
}

/** Streams in one run when a step is timed, and runs. */
const TIMED_ROWS = 64;
const TIMED_RUNS = 30;
const TIMED_LEADS = 24;

export interface SearchParts {
  /** What is trained; its network, learning rate and steps are what the search varies. */
  readonly job: TrainingJob;
  readonly width: number;
  /** Results so far, so that a search that was cut short goes on; JSON. */
  readonly memory: string;
  readonly bar: ProgressBar;
  readonly stop: () => boolean;
}

export async function runSearch(flags: SearchFlags, parts: SearchParts): Promise<SearchResult> {
  const candidates = grid(flags.searchCells, flags.searchLayers, flags.searchHidden, flags.searchRates);
  const settings = { ...SEARCH_DEFAULTS, firstSteps: flags.searchSteps, rounds: flags.searchRounds };
  const memory = new Memory(parts.memory, parts.job);
  let done = 0;
  return search(candidates, settings, {
    stop: parts.stop,
    cost: (candidate) => costOf(candidate, parts.width),
    train: async (trial) => {
      const known = memory.get(trial);
      if (known !== undefined) return known;
      const text = `round ${trial.round + 1}: ${nameOf(trial.candidate)}, fold ${trial.fold + 1} of ${settings.folds}, ${trial.steps} steps`;
      const loss = await train(trial, parts, (share) => parts.bar.update(share, text));
      // A training that was cut short says nothing.
      if (!parts.stop()) memory.put(trial, loss);
      done++;
      parts.bar.update(1, `${text}: ${loss.toFixed(4)} (${done} trained)`);
      return loss;
    },
  });
}

async function train(trial: Trial, parts: SearchParts, progress: (done: number) => void): Promise<number> {
  const { job } = parts;
  const { series, validation } = foldOf(job.series, trial.fold, SEARCH_DEFAULTS);
  const { rate } = trial.candidate;
  const work = startTraining(
    {
      ...job,
      spec: specOf(trial.candidate, parts.width),
      weights: null,
      series,
      settings: {
        ...job.settings,
        rate,
        validation: series.length > 0 ? validation : job.settings.validation,
        maxSteps: trial.steps,
        maxTimeMs: null,
        validateEvery: trial.steps,
        seed: job.settings.seed + trial.fold,
      },
    },
    {
      onProgress: ({ done }) => {
        progress(done);
        if (parts.stop()) work.stop();
      },
    },
  );
  try {
    return (await work.result).bestLoss ?? Number.POSITIVE_INFINITY;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

function specOf({ cell, layers, hidden }: Candidate, width: number) {
  return forecastSpec({ cell, layers, hidden, width });
}

/** Weights, and the time of an int8 step of one stream in a batch (the least of several runs). */
async function costOf(candidate: Candidate, width: number): Promise<{ parameters: number; stepUs: number }> {
  const spec = specOf(candidate, width);
  const graph = buildStepGraph(spec, initialWeights(spec, createRandom(1)), {
    leads: TIMED_LEADS,
    quantized: true,
  });
  const stepper = await createStepper(graph);
  const x = new Float32Array(TIMED_ROWS * stepper.inputs);
  const h = new Float32Array(TIMED_ROWS * stepper.layers * stepper.hidden);
  let least = Number.POSITIVE_INFINITY;
  for (let run = 0; run < TIMED_RUNS; run++) {
    const from = performance.now();
    await stepper.run(TIMED_ROWS, x, h);
    least = Math.min(least, performance.now() - from);
  }
  await stepper.release();
  return { parameters: countWeights(spec), stepUs: (1000 * least) / TIMED_ROWS };
}

/** Losses of finished trainings by what they were. */
class Memory {
  private readonly known: Record<string, number | null>;
  private readonly fingerprint: string;

  constructor(
    private readonly path: string,
    job: TrainingJob,
  ) {
    const { rate, maxSteps, maxTimeMs, validation, ...settings } = job.settings;
    const data = job.series.map((one) => [one.name, one.values.length, one.intervalMs, one.leads]);
    this.fingerprint = sha256(JSON.stringify([settings, data, job.generated])).slice(0, 16);
    this.known = existsSync(path) ? readMemory(path, this.fingerprint) : {};
  }

  get(trial: Trial): number | undefined {
    const loss = this.known[keyOf(trial)];
    return loss === null ? Number.POSITIVE_INFINITY : loss;
  }

  put(trial: Trial, loss: number): void {
    this.known[keyOf(trial)] = Number.isFinite(loss) ? loss : null;
    writeFileAtomic(
      this.path,
      `${JSON.stringify({ fingerprint: this.fingerprint, losses: this.known }, null, 1)}\n`,
    );
  }
}

/** Losses remembered of the same data and settings; those of others are no use. */
function readMemory(path: string, fingerprint: string): Record<string, number | null> {
  try {
    const data = JSON.parse(readFileSync(path, 'utf8')) as {
      fingerprint?: string;
      losses?: Record<string, number | null>;
    };
    return data.fingerprint === fingerprint ? { ...data.losses } : {};
  } catch {
    return {};
  }
}

const keyOf = ({ candidate, fold, steps }: Trial) => `${nameOf(candidate)}, fold ${fold}, ${steps} steps`;

/** The table that is printed, and the drawing beside the model. */
export function searchReport(result: SearchResult, drawing: string): string {
  writeFileAtomic(drawing, searchSvg(result), 0o644);
  const head = ['network', 'steps', 'loss', '+-', 'parameters', 'us a step', ''];
  const rows = result.rows.map((row) => [
    nameOf(row.candidate),
    String(row.steps),
    Number.isFinite(row.score) ? row.score.toFixed(4) : 'failed',
    row.deviation.toFixed(4),
    String(row.parameters),
    row.stepUs.toFixed(2),
    row === result.chosen ? 'chosen' : result.front.includes(row) ? 'front' : '',
  ]);
  const widths = head.map((_, i) => Math.max(...[head, ...rows].map((cells) => cells[i]!.length)));
  const table = [head, ...rows].map((cells) =>
    cells
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
      .join('  ')
      .trimEnd(),
  );
  return `${table.join('\n')}\n${result.reason}\n${drawing}\n`;
}
