/** A real Prometheus on a free port, and its tool that checks files. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { canRun } from './child.ts';
import { freePort } from './mosquitto.ts';
import { waitFor } from './wait.ts';

/** For `describe.skipIf`: CI installs the package, so nothing is skipped there. */
export const hasPrometheus =
  canRun('promtool', ['--version'], 'a check of metrics and alert rules (apt-get install prometheus)') &&
  canRun('prometheus', ['--version'], 'a scrape by a real Prometheus (apt-get install prometheus)');

/** Runs promtool. @returns its output if it refuses something; empty if all is well */
export function promtool(args: readonly string[], input = ''): string {
  const { status, stdout, stderr } = spawnSync('promtool', [...args], { input, encoding: 'utf8' });
  return status === 0 ? '' : `${stdout}${stderr}`;
}

export interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
}

export interface Rule {
  readonly name: string;
  readonly query: string;
  readonly health: string;
  readonly lastError?: string;
  readonly evaluationTime: number;
  readonly lastEvaluation: string;
  readonly alerts: readonly { readonly state: string; readonly labels: Readonly<Record<string, string>> }[];
}

export interface Prometheus {
  /** @throws where the query is not valid */
  query(expression: string): Promise<readonly Sample[]>;
  rules(): Promise<readonly Rule[]>;
  stop(): Promise<void>;
}

/** @param config path of its configuration */
export async function startPrometheus(config: string): Promise<Prometheus> {
  const dir = mkdtempSync(join(tmpdir(), 'gatecast-prometheus-'));
  const address = `127.0.0.1:${await freePort()}`;
  const child: ChildProcess = spawn(
    'prometheus',
    [`--config.file=${config}`, `--storage.tsdb.path=${dir}`, `--web.listen-address=${address}`],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let output = '';
  child.stderr?.on('data', (data) => {
    output = `${output}${data}`.slice(-20_000);
  });
  const ended = (): boolean => child.exitCode !== null || child.signalCode !== null;
  const ask = async (path: string): Promise<unknown> => {
    const response = await fetch(`http://${address}/api/v1/${path}`);
    const answer = (await response.json()) as { status: string; error?: string; data: unknown };
    if (answer.status !== 'success') throw new Error(`${path}: ${answer.error}`);
    return answer.data;
  };
  await waitFor('Prometheus', () => {
    if (ended()) throw new Error(`Prometheus ended: ${output}`);
    return fetch(`http://${address}/-/ready`).then(
      ({ ok }) => ok,
      () => false,
    );
  });
  return {
    query: async (expression) => {
      const data = (await ask(`query?query=${encodeURIComponent(expression)}`)) as { result: Sample[] };
      return data.result;
    },
    rules: async () => {
      const { groups } = (await ask('rules')) as { groups: { rules: Rule[] }[] };
      return groups.flatMap(({ rules }) => rules);
    },
    stop: async () => {
      child.kill('SIGKILL');
      await waitFor('the end of Prometheus', ended);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
