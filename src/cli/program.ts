/** The command line: every command registers itself; its code is loaded only when it runs. */

import { Command, CommanderError } from 'commander';
import { registerBacktest } from './backtest.ts';
import { registerCheck } from './check/check.ts';
import { registerConfig } from './config/config.ts';
import { registerDemo } from './demo.ts';
import { registerDoctor } from './doctor/doctor.ts';
import { registerExplain } from './explain/explain.ts';
import { registerInit } from './init/init.ts';
import { registerInspect } from './inspect/inspect.ts';
import { registerModel } from './model/model.ts';
import { registerReplay } from './replay/replay.ts';
import { registerRequest } from './request/request.ts';
import { registerRun } from './run.ts';
import { AlreadyReported, describeFailure } from './shared/failure.ts';
import { addGlobals } from './shared/globals.ts';
import type { CommandOutput } from './shared/output.ts';
import { VERSION } from './shared/version.ts';
import { registerSite } from './site/site.ts';
import { registerTrain } from './train/train.ts';

/** In the order in which `--help` lists them. */
const REGISTER = [
  registerDemo,
  registerInit,
  registerRun,
  registerCheck,
  registerDoctor,
  registerInspect,
  registerExplain,
  registerReplay,
  registerBacktest,
  registerTrain,
  registerModel,
  registerConfig,
  registerRequest,
  registerSite,
] as const;

export function createProgram(output: CommandOutput): Command {
  const program = new Command('gatecast');
  program
    .description(
      'Forecasts at the gateway: sensor messages in, calibrated multi-horizon forecasts out, on MQTT.',
    )
    .version(VERSION, '-V, --version')
    .showSuggestionAfterError()
    .addHelpText(
      'after',
      '\nTry it:\n  $ gatecast demo\n\nWith your own broker:\n  $ gatecast init\n  $ gatecast run -c gatecast.yaml\n',
    );
  addGlobals(program);
  for (const register of REGISTER) register(program);
  for (const command of [program, ...program.commands.flatMap((c) => [c, ...c.commands])]) {
    command.exitOverride().configureOutput({ writeOut: output.out, writeErr: output.err });
    // Help shows the default of a list as the user types it: `gru,lstm`, not `["gru","lstm"]`.
    for (const option of command.options)
      if (Array.isArray(option.defaultValue))
        option.defaultValueDescription ??= option.defaultValue.join(',');
  }
  return program;
}

/**
 * Runs one command.
 * @param argv arguments after the program's name
 * @returns the exit code: 0 done, 1 failed, 2 wrong usage or invalid config
 */
export async function runProgram(argv: readonly string[], output: CommandOutput): Promise<0 | 1 | 2> {
  const program = createProgram(output);
  try {
    await program.parseAsync(argv, { from: 'user' });
    return 0;
  } catch (error) {
    // Commander has printed its own message by now; help and version end with code 0.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (error instanceof AlreadyReported) return error.exitCode;
    const { text, exitCode } = describeFailure(error, program.opts().debug === true);
    output.err(text);
    return exitCode;
  }
}
