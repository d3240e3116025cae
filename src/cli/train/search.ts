/** `gatecast train --search`: trains the candidates in workers, stores the results on disk, and prints a table. */
import { existsSync, readFileSync } from 'node:fs';
import { createStepper } from '../../model/sessions.ts';
import { createRandom } from '../../network/random.ts';
import type { Cell } from '../../network/spec.ts';
import { buildStepGraph } from '../../network/step-graph.ts';
import { countWeights, initialWeights } from '../../network/weights.ts';
import { sha256, writeFileAtomic } from '../../system/files.ts';
import { writeOutput } from '../../system/output-file.ts';
import { startTrials } from '../../training/client.ts';
import { forecastSpec, type JobSeries, type TrainingJob } from '../../training/job.ts';
import { Random } from '../../training/random.ts';
import {
  type Candidate,
  type FoldTrial,
  foldOf,
  grid,
  nameOf,
  percent,
  SEARCH_DEFAULTS,
  type SearchResult,
  search,
  searchSvg,
} from '../../training/search.ts';
import type { WindowLosses } from '../../training/trials.ts';
import type { ProgressBar } from '../shared/progress.ts';
import { textTable } from '../shared/text-table.ts';
import { progressText } from './report.ts';

export interface SearchFlags {
  readonly searchCells: readonly Cell[];
  readonly searchLayers: readonly number[];
  readonly searchHidden: readonly number[];
  readonly searchRates: readonly number[];
  readonly searchSteps: number;
  readonly searchRounds: number;
  readonly searchSeries?: number;
}

/** A step is timed in TIMED_RUNS runs of TIMED_ROWS streams each. */
const TIMED_ROWS = 64;
const TIMED_RUNS = 300;
const TIMED_LEADS = 24;

interface SearchParts {
  /** The training job; the search varies its network, learning rate and steps. */
  readonly job: TrainingJob;
  readonly width: number;
  /** JSON file of the results so far, so that an interrupted search can continue. */
  readonly memory: string;
  readonly bar: ProgressBar;
  readonly stop: () => boolean;
}

export async function runSearch(flags: SearchFlags, parts: SearchParts): Promise<SearchResult> {
  const candidates = grid(flags.searchCells, flags.searchLayers, flags.searchHidden, flags.searchRates);
  const settings = { ...SEARCH_DEFAULTS, firstSteps: flags.searchSteps, rounds: flags.searchRounds };
  const series = thinned(parts.job.series, flags.searchSeries, parts.job.settings.seed);
  const job = { ...parts.job, series };
  const memory = new TrialStore(parts.memory, job);
  const { groupWeights } = job.settings;
  return search(candidates, settings, {
    stop: parts.stop,
    cost: (candidate) => costOf(candidate, parts.width),
    weightOf: (group) => groupWeights[group] ?? 1,
    train: (trial) => trainFold(trial, { ...parts, job }, memory),
  });
}

/** At most `most` random series of each set, which are enough for a comparison. */
function thinned(series: readonly JobSeries[], most: number | undefined, seed: number): readonly JobSeries[] {
  if (most === undefined) return series;
  const rng = new Random(seed);
  const drawn = series.map((one) => ({ one, place: rng.uniform() })).sort((a, b) => a.place - b.place);
  const taken = new Map<string, number>();
  const kept = new Set<JobSeries>();
  for (const { one } of drawn) {
    const count = taken.get(one.group) ?? 0;
    if (count < most) kept.add(one);
    taken.set(one.group, count + 1);
  }
  return series.filter((one) => kept.has(one));
}

/** Trains the candidates of a fold that have no stored result, in one worker, which computes the features once. */
async function trainFold(
  trial: FoldTrial,
  parts: SearchParts,
  memory: TrialStore,
): Promise<(WindowLosses | null)[]> {
  const { fold, steps, round } = trial;
  const missing = trial.candidates.filter((one) => memory.get(one, trial) === undefined);
  if (missing.length > 0 && !parts.stop()) {
    const { job } = parts;
    const cut = foldOf(job.series, fold, SEARCH_DEFAULTS);
    const settings = {
      ...job.settings,
      validation: cut.series.length > 0 ? cut.validation : job.settings.validation,
      seed: job.settings.seed + fold,
    };
    const networks = missing.map((one) => ({
      spec: specOf(one, parts.width),
      rate: one.rate,
      maxSteps: steps,
    }));
    let done = 0;
    const work = startTrials({ ...job, series: cut.series, settings }, networks, {
      onProgress: (progress) => {
        const text = `round ${round + 1}, fold ${fold + 1} of ${SEARCH_DEFAULTS.folds}, ${steps} steps: ${done} of ${missing.length} networks`;
        if (progress.phase === 'training') parts.bar.update(progress.done, text);
        else parts.bar.update(0, `${text}; ${progressText(progress)}`);
        if (parts.stop()) work.stop();
      },
      onTrial: (index, losses) => {
        memory.put(missing[index], trial, losses);
        done++;
      },
    });
    await work.result;
  }
  return trial.candidates.map((one) => memory.get(one, trial) ?? null);
}

function specOf({ cell, layers, hidden }: Candidate, width: number) {
  return forecastSpec({ cell, layers, hidden, width });
}

/** Number of weights, and the time of an int8 step per stream in a batch (minimum of several runs). */
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

/** Stored losses of finished trainings. */
class TrialStore {
  private readonly known: Record<string, WindowLosses | null>;
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

  /** undefined: not trained yet; null: its training failed. */
  get(candidate: Candidate, trial: FoldTrial): WindowLosses | null | undefined {
    return this.known[keyOf(candidate, trial)];
  }

  put(candidate: Candidate, trial: FoldTrial, losses: WindowLosses | null): void {
    this.known[keyOf(candidate, trial)] = losses;
    writeFileAtomic(this.path, `${JSON.stringify({ fingerprint: this.fingerprint, losses: this.known })}\n`);
  }
}

/** The stored losses, if they are of the same data and settings. */
function readMemory(path: string, fingerprint: string): Record<string, WindowLosses | null> {
  try {
    const data = JSON.parse(readFileSync(path, 'utf8')) as {
      fingerprint?: string;
      losses?: Record<string, WindowLosses | null>;
    };
    return data.fingerprint === fingerprint ? { ...data.losses } : {};
  } catch {
    return {};
  }
}

const keyOf = (candidate: Candidate, { fold, steps }: FoldTrial) =>
  `${nameOf(candidate)}, fold ${fold}, ${steps} steps`;

/** Returns the table to print and writes the chart next to the model. */
export function searchReport(result: SearchResult, drawing: string): string {
  writeOutput(drawing, searchSvg(result));
  const head = ['network', 'steps', 'loss', 'behind', '+-', 'parameters', 'us per step', ''];
  const rows = result.rows.map((row) => [
    nameOf(row.candidate),
    String(row.steps),
    Number.isFinite(row.score) ? row.score.toFixed(4) : 'failed',
    Number.isFinite(row.behind) ? percent(row.behind) : '',
    percent(row.error),
    String(row.parameters),
    row.stepUs.toFixed(2),
    row === result.chosen ? 'chosen' : result.front.includes(row) ? 'front' : '',
  ]);
  const note =
    'behind: how much worse than the best of its round, on the same windows; +-: one standard error of that difference';
  return `${textTable([head, ...rows], true)}${note}\n${result.reason}\n${drawing}\n`;
}
