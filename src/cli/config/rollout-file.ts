/** The progress of a rollout, in a file of the operator's folder, for `push --resume`. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { GatecastError, readNamed } from '../../errors.ts';
import { modelClaimSchema } from '../../remote/contract.ts';
import { entriesOf, writeFileAtomic } from '../../system/files.ts';
import { pushFields } from './history-file.ts';
import type { OperatorFolder } from './operator.ts';
import { nodeStateSchema } from './outcome.ts';
import { planSchema } from './rollout.ts';

const rolloutFileSchema = z.object({
  ...pushFields,
  jws: z.string(),
  plan: planSchema,
  states: z.array(nodeStateSchema),
  /** The model and the path of its files; null: there is none. */
  model: z
    .object({ path: z.string(), claim: modelClaimSchema, bytesPerSecond: z.number() })
    .nullable()
    .default(null),
  /** Known members that did not answer the dry run. */
  absent: z.array(nodeStateSchema),
  ended: z.boolean(),
});
export type RolloutFile = z.infer<typeof rolloutFileSchema>;

const ROLLOUT_ENDING = '.json';

/** @throws the system's error */
export function saveRollout({ rollouts }: OperatorFolder, file: RolloutFile): void {
  writeFileAtomic(join(rollouts, `${file.id}${ROLLOUT_ENDING}`), `${JSON.stringify(file, null, 1)}\n`, 0o600);
}

/** The unfinished rollout with this id; null: the newest one. @throws GatecastError USAGE if there is none, FILE_UNREADABLE */
export function loadRollout({ rollouts }: OperatorFolder, id: string | null): RolloutFile {
  const names = entriesOf(rollouts)
    .filter((name) => name.endsWith(ROLLOUT_ENDING))
    .sort();
  const wanted = id === null ? names : names.filter((name) => name === `${id}${ROLLOUT_ENDING}`);
  for (const name of wanted.reverse()) {
    const path = join(rollouts, name);
    const file = readNamed(path, () => rolloutFileSchema.parse(JSON.parse(readFileSync(path, 'utf8'))));
    if (!file.ended) return file;
  }
  throw new GatecastError('USAGE', 'there is no unfinished push to resume', {
    hint: '`gatecast config history` lists the pushes from this machine',
  });
}
