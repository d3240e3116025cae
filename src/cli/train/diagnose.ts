/** `gatecast train --diagnose`: trains each cell briefly on the same data, then plots its gradient norm by time lag. */
import { createRandom } from '../../network/random.ts';
import type { Cell } from '../../network/spec.ts';
import { initialWeights } from '../../network/weights.ts';
import { writeOutput } from '../../system/output-file.ts';
import { startTraining } from '../../training/client.ts';
import { gradientByLag, type LagCurve, lagSvg, reachOf } from '../../training/diagnose.ts';
import { forecastSpec, type TrainingJob } from '../../training/job.ts';
import { jobFeatures } from '../../training/prepare.ts';
import { Random } from '../../training/random.ts';
import type { ProgressBar } from '../shared/progress.ts';

/** Cells shown for comparison: one whose gradient vanishes, and two whose gradient does not. */
const COMPARED: readonly Cell[] = ['rnn-tanh', 'gru', 'lstm'];
/** Maximum number of series used for the gradients. */
const MOST_SERIES = 12;
const BATCHES = 4;

/** @returns the text to print; writes the chart to `file` */
export async function runDiagnose(
  job: TrainingJob,
  width: number,
  file: string,
  bar: ProgressBar,
): Promise<string> {
  const { settings, spec } = job;
  const cells = [...new Set([spec.cell, ...COMPARED])];
  const curves: LagCurve[] = [];
  const shown = { ...job, series: job.series.slice(0, MOST_SERIES) };
  const series = await jobFeatures(shown);
  for (const [index, cell] of cells.entries()) {
    const network = forecastSpec({ cell, layers: spec.layers, hidden: spec.hidden, width });
    const work = startTraining(
      { ...shown, spec: network, weights: null },
      { onProgress: ({ done }) => bar.update((index + done) / cells.length, `training ${cell}`) },
    );
    const { weights } = await work.result;
    const options = {
      steps: settings.steps,
      stride: settings.stride,
      leads: settings.leadsPerOrigin,
      batch: settings.batch,
      batches: BATCHES,
    };
    const measure = (values: typeof weights) =>
      gradientByLag(network, values, series, options, new Random(settings.seed));
    curves.push({ name: cell, norms: await measure(weights) });
    if (cell === spec.cell) {
      const fresh = initialWeights(network, createRandom(settings.seed));
      curves.push({ name: `${cell}, untrained`, norms: await measure(fresh) });
    }
  }
  bar.end();
  writeOutput(file, lagSvg(curves));
  const lines = curves.map(({ name, norms }) => {
    const reach = reachOf(norms);
    return `${name.padEnd(22)} gradient falls to 1 % after ${reach === null ? `more than ${norms.length - 1}` : reach} steps`;
  });
  return `${lines.join('\n')}\n${file}\n`;
}
