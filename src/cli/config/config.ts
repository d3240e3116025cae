/** `gatecast config`: remote config, from the operator's side. */
import type { Command } from 'commander';
import { registerHistory } from './history.ts';
import { registerKeygen } from './keygen.ts';
import { registerPush } from './push.ts';
import { registerRollback } from './rollback.ts';
import { registerShow } from './show.ts';
import { registerSign } from './sign.ts';
import { registerStatus } from './status.ts';

/** In the order in which `--help` lists them. */
const REGISTER = [
  registerKeygen,
  registerSign,
  registerPush,
  registerStatus,
  registerHistory,
  registerRollback,
  registerShow,
];

export function registerConfig(program: Command): void {
  const config = program
    .command('config')
    .description('configure gateways over the broker: keys, pushes, their status, rollbacks')
    .addHelpText('after', '\nExample:\n  $ gatecast config push --to cellar --patch pumps.yaml\n');
  for (const register of REGISTER) register(config);
}
