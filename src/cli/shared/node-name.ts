/** Default node name. */
import { hostname } from 'node:os';

/** The name of this machine, with characters replaced that a node name cannot have. */
export function nodeName(): string {
  const machine = hostname().replaceAll(/[^A-Za-z0-9_.-]/g, '-');
  return /^[A-Za-z0-9]/.test(machine) ? machine.slice(0, 63) : 'gateway';
}
