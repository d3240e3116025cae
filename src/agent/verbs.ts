/** What the requests over MQTT do to the running agent. How they are asked and answered is `requests.ts`'s. */
import { join } from 'node:path';
import type { ConfigDiff } from '../config/index.ts';
import { GatecastError } from '../errors.ts';
import type { Publisher } from '../mqtt/publisher.ts';
import { type BackupFile, backupName, filesBelow, pruneBackups } from '../store/backup.ts';
import type { SqliteStore } from '../store/sqlite-store.ts';
import type { Clock } from '../system/clock.ts';
import type { Announcer } from './announcer.ts';
import { REQUESTED } from './conditions.ts';
import { GROUP } from './groups.ts';
import type { Pipeline } from './pipeline.ts';
import type { Ask, Deeds } from './requests.ts';
import type { AgentStreams } from './streams.ts';
import type { Tuning } from './tuning.ts';

export interface VerbsParts {
  readonly dataDir: string;
  /** null: the agent runs without a file. */
  readonly configFile: string | null;
  readonly clock: Clock;
  readonly streams: AgentStreams;
  readonly pipeline: Pick<Pipeline, 'between'>;
  readonly tuning: () => Pick<Tuning, 'request' | 'rollback' | 'forget'>;
  readonly publisher: Pick<Publisher, 'forget' | 'forgetScore'>;
  readonly announcer: Pick<Announcer, 'forget'>;
  readonly store: Pick<SqliteStore, 'backup'>;
  readonly reload: () => Promise<ConfigDiff & { readonly removed: readonly string[] }>;
}

/** Backups kept; the oldest go. */
const KEPT_BACKUPS = 5;

export function deedsOf(parts: VerbsParts): Deeds {
  const { streams, pipeline, tuning, publisher, announcer } = parts;
  return {
    finetune: ({ group }) => tuning().request(group ?? GROUP),
    'rollback-model': async ({ group }) => ({ model: await tuning().rollback(REQUESTED, group ?? GROUP) }),
    'reset-stream': async (ask) => {
      const stream = streamOf(ask);
      await pipeline.between(() => streams.reset(stream));
      tuning().forget(stream);
      publisher.forgetScore(stream);
      return { stream };
    },
    'forget-stream': async (ask) => {
      const stream = streamOf(ask);
      await pipeline.between(() => {
        streams.forget(stream);
        publisher.forget(stream);
      });
      tuning().forget(stream);
      announcer.forget(stream);
      return { stream };
    },
    backup: () => backup(parts),
    reload: async () => parts.reload(),
  };
}

function streamOf({ stream }: Ask): string {
  if (stream !== null) return stream;
  throw new GatecastError('REQUEST_INVALID', '`stream` is missing.', {
    hint: 'Name it as on the topic of its forecasts.',
  });
}

async function backup({ dataDir, configFile, clock, store }: VerbsParts): Promise<object> {
  const folder = join(dataDir, 'backups');
  pruneBackups(folder, KEPT_BACKUPS);
  const name = backupName(folder, clock.now());
  const config: BackupFile[] =
    configFile === null ? [] : [{ name: `config/${configFile.split('/').at(-1)}`, path: configFile }];
  const files = [...filesBelow(join(dataDir, 'models'), 'models'), ...config];
  const bytes = await store.backup(join(folder, name), files);
  const removed = pruneBackups(folder, KEPT_BACKUPS);
  return { file: join('backups', name), bytes, removed };
}
