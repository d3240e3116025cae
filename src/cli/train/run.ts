/** `gatecast train`: reads the data, trains in a worker, shows progress, writes the model. */
import { rmSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { GatecastError } from '../../errors.ts';
import { MODEL_NAME } from '../../model/manifest.ts';
import { type ModelRegistry, writeModel } from '../../model/registry.ts';
import { prepareFolderOf, prepareOutput } from '../../system/output-file.ts';
import { startTraining } from '../../training/client.ts';
import { forecastSpec, type JobResult, type TrainingJob } from '../../training/job.ts';
import { ProgressBar, type ProgressTarget } from '../shared/progress.ts';
import { onSignal } from '../shared/until-signal.ts';
import { seriesOfSet } from './data.ts';
import { runDiagnose } from './diagnose.ts';
import type { TrainFlags } from './flags.ts';
import { checkSettings, dataSets, trainingJob } from './job.ts';
import { packed, progressText, report, summary } from './report.ts';
import { runSearch, searchReport } from './search.ts';

interface Streams {
  readonly out: ProgressTarget;
  readonly err: ProgressTarget;
}

/**
 * @param command as typed, for the model card
 * @throws GatecastError USAGE, FILE_UNWRITABLE, and the errors of reading and training
 */
export async function runTrain(
  flags: TrainFlags,
  registry: ModelRegistry,
  streams: Streams,
  command: string,
): Promise<void> {
  // Checks the command line before it reads the data.
  const folder = flags.diagnose ? '' : outFolder(flags);
  checkSettings(flags);
  if (flags.diagnose) prepareOutput(flags.diagnose);
  else prepareFolderOf(folder);
  const base = flags.from ? registry.open(flags.from) : null;
  const say = (text: string): void => void streams.err.write(`${text}\n`);
  const sets = dataSets(flags, say);
  const series = sets.flatMap((set, index) =>
    seriesOfSet(set, flags.seed + index, (text) => say(`warning: ${text}`)),
  );
  const asked = trainingJob(flags, sets, series, base);
  if (flags.diagnose) {
    streams.out.write(await runDiagnose(asked, flags.width, flags.diagnose, new ProgressBar(streams.err)));
    return;
  }
  const { job, reason } = await chosenJob(flags, asked, folder, streams);
  if (flags.searchOnly) return;
  const checkpoint = `${folder}.checkpoint`;
  if (!flags.resume) rmSync(checkpoint, { force: true });

  const bar = new ProgressBar(streams.err);
  const training = startTraining(job, {
    checkpoint,
    resume: flags.resume ?? false,
    onProgress: (progress) => bar.update(progress.done, progressText(progress)),
  });
  const unhook = onSignal(
    () => training.stop(),
    () => void training.kill(),
  );
  let result: JobResult;
  try {
    result = await training.result;
  } finally {
    unhook();
    bar.end();
  }
  const stored = writeModel(folder, packed(flags, folder, sets, job, base, result, { reason, command }));
  streams.out.write(
    flags.json ? `${JSON.stringify(summary(folder, stored, result))}\n` : report(folder, stored, result),
  );
}

/** The job as given, or with the network that the search chose. */
async function chosenJob(
  flags: TrainFlags,
  job: TrainingJob,
  folder: string,
  streams: Streams,
): Promise<{ job: TrainingJob; reason: string }> {
  if (!flags.search && !flags.searchOnly) return { job, reason: '' };
  if (job.weights)
    throw new GatecastError('USAGE', '--search chooses a new network; it cannot be used with --from.');
  const memory = `${folder}.search.json`;
  if (!flags.resume) rmSync(memory, { force: true });
  const bar = new ProgressBar(streams.err);
  let stopped = false;
  const stop = () => {
    stopped = true;
  };
  const unhook = onSignal(stop);
  const cutShort = (cause?: unknown) =>
    new GatecastError('TRAINING_FAILED', 'The search was stopped.', {
      hint: 'Continue with --resume.',
      cause,
    });
  try {
    const result = await runSearch(flags, { job, width: flags.width, memory, bar, stop: () => stopped });
    bar.end();
    streams.out.write(searchReport(result, `${folder}.search.svg`));
    if (stopped) throw cutShort();
    const { rate, ...network } = result.chosen.candidate;
    const spec = forecastSpec({ ...network, width: flags.width });
    return { job: { ...job, spec, settings: { ...job.settings, rate } }, reason: result.reason };
  } catch (error) {
    // stopped before there was a result to compare
    throw stopped && error instanceof RangeError ? cutShort(error) : error;
  } finally {
    unhook();
    bar.end();
  }
}

function outFolder(flags: TrainFlags): string {
  const folder = flags.out ? resolve(flags.out) : '';
  if (!folder || !MODEL_NAME.test(basename(folder))) {
    throw new GatecastError(
      'USAGE',
      `--out must name a folder like models/NAME${flags.out ? `, not ${flags.out}` : ''}.`,
      { hint: 'Use letters, digits, dots, dashes and underscores; begin with a letter or digit.' },
    );
  }
  return folder;
}
