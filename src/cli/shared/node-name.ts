/** The name of this node where the config gives none: that of the machine. */
import { hostname } from 'node:os';

/** The name of this machine, as a node name may be. */
export function nodeName(): string {
  const machine = hostname().replaceAll(/[^A-Za-z0-9_.-]/g, '-');
  return /^[A-Za-z0-9]/.test(machine) ? machine.slice(0, 63) : 'gateway';
}
