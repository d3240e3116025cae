/** A Debian of its own, booted with systemd by systemd-nspawn: no network but its loopback, and no change of its files lasts. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { waitFor } from '../support/wait.ts';

const MINUTE = 60_000;
const ENVIRONMENT = [
  'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  'HOME=/root',
  'LC_ALL=C.UTF-8',
  'DEBIAN_FRONTEND=noninteractive',
];

export const canBoot = process.getuid?.() === 0 && spawnSync('systemd-nspawn', ['--version']).status === 0;

export class Booted {
  private log = '';

  private constructor(
    private readonly container: ChildProcess,
    private init: string,
  ) {}

  /** @param root folder of the Debian */
  static async boot(root: string): Promise<Booted> {
    const options = ['--register=no', '--keep-unit', '--private-network', '--volatile=overlay'];
    const names = [`--machine=gatecast-${process.pid}`, '--resolv-conf=off'];
    const container = spawn(
      'systemd-nspawn',
      [`--directory=${root}`, '--boot', '--console=pipe', ...options, ...names],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    const booted = new Booted(container, '');
    for (const stream of [container.stdout, container.stderr])
      stream?.on('data', (data) => {
        booted.log += data;
      });
    try {
      await waitFor(
        'the boot of Debian',
        () => {
          if (container.exitCode !== null) throw new Error(`systemd-nspawn ended:\n${booted.log}`);
          const { pid } = container;
          booted.init = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
          const state = booted.init === '' ? '' : booted.call('systemctl', 'is-system-running').text;
          return /^(running|degraded)$/m.test(state);
        },
        4 * MINUTE,
      );
    } catch (error) {
      await booted.stop();
      throw error;
    }
    return booted;
  }

  /** Runs a command inside, as root. */
  call(...command: readonly string[]): { code: number | null; text: string } {
    const { status, stdout, stderr } = spawnSync(
      'nsenter',
      ['--all', '--target', this.init, 'env', '-i', ...ENVIRONMENT, ...command],
      { encoding: 'utf8', timeout: 15 * MINUTE },
    );
    return { code: status, text: stdout + stderr };
  }

  /** @throws Error if the command fails */
  mustCall(...command: readonly string[]): string {
    const { code, text } = this.call(...command);
    if (code !== 0) throw new Error(`${command.join(' ')} ended with ${code}:\n${text}`);
    return text;
  }

  /** A property of the service, as systemd knows it. */
  property(name: string): string {
    return this.mustCall('systemctl', 'show', 'gatecast', '--value', `--property=${name}`).trim();
  }

  async stop(): Promise<void> {
    if (this.container.exitCode !== null || this.container.signalCode !== null) return;
    const ended = new Promise((done) => this.container.once('exit', done));
    // The second SIGTERM ends the container at once.
    this.container.kill('SIGTERM');
    this.container.kill('SIGTERM');
    const late = setTimeout(() => this.container.kill('SIGKILL'), MINUTE);
    await ended;
    clearTimeout(late);
  }
}
