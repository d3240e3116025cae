/**
 * The table of request verbs: what each verb does in the running agent, and its text in the reference. To add a
 * verb, add one entry.
 */
import { join } from 'node:path';
import type { REQUEST_VERBS } from '../config/schema.ts';
import { GatecastError } from '../errors.ts';
import type { Outputs } from '../outputs/outputs.ts';
import { type BackupFile, backupName, filesBelow, pruneBackups } from '../store/backup.ts';
import { REQUESTED } from './alerts.ts';
import type { ConfigFile } from './configure.ts';
import { GROUP } from './groups.ts';
import type { Context } from './part.ts';
import type { Handlers, RequestArguments } from './requests.ts';
import type { AgentStreams } from './streams.ts';
import type { TuningPart } from './tuning.ts';

/** Parts and resources that the verbs use. */
export interface VerbSubjects {
  /** Omitted if the agent runs without a file. */
  readonly configFile: ConfigFile | undefined;
  readonly streams: AgentStreams;
  readonly tuning: Pick<TuningPart, 'request' | 'rollback' | 'forget'>;
  readonly outputs: Pick<Outputs, 'reset'>;
}

export type VerbParts = VerbSubjects &
  Pick<Context, 'clock' | 'store' | 'config' | 'between' | 'configure' | 'forget'>;

interface Verb {
  /** Text in the reference. */
  readonly text: string;
  /** @returns the `data` of the answer */
  run(ask: RequestArguments, parts: VerbParts): Promise<object> | object;
}

/** Most backups; the oldest are deleted. */
const KEPT_BACKUPS = 5;

export const VERBS: Readonly<Record<(typeof REQUEST_VERBS)[number], Verb>> = {
  finetune: {
    text: 'Start fine-tuning of the model group `group` (default: the only group).',
    run: ({ group }, { tuning }) => tuning.request(group ?? GROUP),
  },
  'reset-stream': {
    text: 'Reset the learnt state of `stream`; its samples stay.',
    run: async (ask, { streams, tuning, outputs, between }) => {
      const stream = streamOf(ask);
      await between(() => streams.reset(stream));
      tuning.forget(stream);
      outputs.reset(stream);
      return { stream };
    },
  },
  'rollback-model': {
    text: 'Return to the previous model of the model group `group` (default: the only group).',
    run: async ({ group }, { tuning }) => ({ model: await tuning.rollback(REQUESTED, group ?? GROUP) }),
  },
  backup: {
    text: 'Write database, models and config to one file below `backups` in the data folder.',
    run: (_ask, parts) => backup(parts),
  },
  reload: {
    text: 'Read the config file again, and apply every change that needs no restart; a config that cannot be applied changes nothing.',
    run: (_ask, parts) => reload(parts),
  },
  'forget-stream': {
    text: 'Remove `stream` with its samples, its learnt state, and all its retained messages at the broker.',
    run: async (ask, { streams, between, forget }) => {
      const stream = streamOf(ask);
      await between(() => {
        streams.remove(stream);
        forget(stream);
      });
      return { stream };
    },
  },
};

export function handlersOf(parts: VerbParts): Handlers {
  return Object.fromEntries(Object.entries(VERBS).map(([verb, { run }]) => [verb, (ask) => run(ask, parts)]));
}

function streamOf({ stream }: RequestArguments): string {
  if (stream !== null) return stream;
  throw new GatecastError('REQUEST_INVALID', '`stream` is missing.', {
    hint: 'Use the name of the stream in its forecast topic.',
  });
}

/** @throws GatecastError USAGE without a file, FILE_UNREADABLE, CONFIG_INVALID, BUSY; the running config is then unchanged */
async function reload({ configFile, configure }: VerbParts): Promise<object> {
  if (configFile === undefined) throw new GatecastError('USAGE', 'The agent runs without a config file.');
  const { errors, hot, reconnect, restart, removed } = await configure(configFile.read());
  if (errors.length > 0) {
    const issues = errors.map(({ part, path, message }) => ({ path, message: `(${part}): ${message}` }));
    const hint = [...new Set(errors.map((error) => error.hint))].join(' ');
    const code = errors.every(({ busy }) => busy === true) ? 'BUSY' : 'CONFIG_INVALID';
    throw new GatecastError(code, 'The config was refused, nothing has changed', { issues, hint });
  }
  return { hot, reconnect, restart, removed };
}

async function backup({ config, configFile, clock, store }: VerbParts): Promise<object> {
  const dataDir = config().data_dir;
  const folder = join(dataDir, 'backups');
  pruneBackups(folder, KEPT_BACKUPS);
  const name = backupName(folder, clock.now());
  const files: BackupFile[] = filesBelow(join(dataDir, 'models'), 'models');
  if (configFile !== undefined)
    files.push({ name: `config/${configFile.path.split('/').at(-1)}`, path: configFile.path });
  const bytes = await store.backup(join(folder, name), files);
  const removed = pruneBackups(folder, KEPT_BACKUPS);
  return { file: join('backups', name), bytes, removed };
}
