/**
 * Chooses the model of a group of streams: the one named in the group's slots, else the best available. At present
 * all streams of an agent form one group; messages, slots and models already carry the group's name, so that more
 * groups can be added.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { errorFields } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { ModelRegistry } from '../model/registry.ts';
import type { ModelSlots } from '../model/slots.ts';
import type { Store } from '../store/store-contract.ts';
import { entriesOf } from '../system/files.ts';
import { type ChosenModel, chooseModel } from './model.ts';

export const GROUP = 'default';

/** Key for the configured model of the last start, which slots of older versions do not contain. */
const CONFIGURED_KEY = 'agent.model';
/** Names of fine-tuned models; only these are ever removed or set aside. */
const TUNED = new RegExp(`^${GROUP}-\\d{8}-\\d{6}$`);
/** Names of partial files left by a crash. */
const HALF_WRITTEN = new RegExp(`^${GROUP}-\\d{8}-\\d{6}\\.\\d+\\.tmp$`);

interface GroupParts {
  readonly registry: ModelRegistry;
  readonly slots: ModelSlots;
  readonly store: Pick<Store, 'getMeta' | 'setMeta'>;
  /** The config's `model.name`. */
  readonly configured: string;
  /** Configured models that a rollback of remote config may go back to; their slots are kept. */
  readonly keep?: ReadonlySet<string>;
  readonly log: Logger;
}

/**
 * Call once per start, before the model is used: it counts the start. A model that does not complete its probation in
 * three starts, or cannot be used at all, is replaced by the previous one, else by the configured one; a fine-tuned one is set aside.
 * While the system cannot read a model, another one forecasts, and its starts do not count.
 */
export function chooseGroupModel(parts: GroupParts): ChosenModel {
  try {
    return choose(parts);
  } catch (error) {
    // A full disk must not prevent forecasting.
    const { registry, slots, configured, log } = parts;
    log.error('model slots not written', { ...errorFields(error) });
    const chosen = chooseModel(registry, slots.get(GROUP, configured).current);
    return chosen.model === null ? chooseModel(registry, configured) : chosen;
  }
}

function choose({ registry, slots, store, configured, keep, log }: GroupParts): ChosenModel {
  if (slots.problem !== null) log.error('model slots damaged', { reason: slots.problem });
  slots.use(GROUP, configured, keep ?? new Set(), store.getMeta(CONFIGURED_KEY));
  if (store.getMeta(CONFIGURED_KEY) !== configured) store.setMeta(CONFIGURED_KEY, configured);
  const before = slots.get(GROUP, configured).current;
  const { slots: noted, rolledBack } = slots.noteStart(GROUP, configured);
  /** A model that may have cost hours is not deleted: the fault may be that of the disk or of frequent restarts. */
  const setAside = (name: string): { readonly folder?: string } => {
    if (!TUNED.test(name) || slots.inUse().has(name)) return {};
    const folder = registry.setAside(name);
    return folder === null ? {} : { folder };
  };
  if (rolledBack)
    log.error('model rolled back', { model: noted.current, reason: noted.reason, ...setAside(before) });
  let chosen = chooseModel(registry, noted.current);
  let next = slots.get(GROUP, configured);
  while (chosen.model === null && chosen.isUnread !== true && next.current !== configured) {
    const failed = next.current;
    const reason = `'${failed}' cannot be used: ${chosen.problem}`;
    next =
      next.previous === null
        ? slots.revert(GROUP, configured, reason)
        : slots.rollback(GROUP, configured, reason);
    log.error('model rolled back', { model: next.current, reason, ...setAside(failed) });
    chosen = chooseModel(registry, next.current);
  }
  if (chosen.isUnread === true) {
    slots.forgetStart(GROUP, configured);
    // The slots keep it, and fine-tuning tries to switch to it while the agent runs.
    log.error('model cannot be read', { model: chosen.name, reason: chosen.problem });
    const others = [next.previous ?? configured, configured].map((name) => chooseModel(registry, name));
    return others.find(({ model }) => model !== null) ?? chosen;
  }
  tidyModels(registry, slots, configured);
  return chosen;
}

/** Sets models without a slot aside: a crash during a switch or a rollback leaves them, and so does a disk that refuses. */
function tidyModels(registry: ModelRegistry, slots: ModelSlots, configured: string): void {
  // Without the slots, no model is known to be unused.
  if (slots.isUnread) return;
  const { candidate, reason } = slots.get(GROUP, configured);
  if (candidate !== null) slots.drop(GROUP, configured, reason);
  const used = slots.inUse();
  for (const { name, source } of registry.list())
    if (source === 'data' && TUNED.test(name) && !used.has(name) && name !== configured)
      registry.setAside(name);
  const folder = registry.dataFolder;
  if (folder === null) return;
  for (const name of entriesOf(folder))
    if (HALF_WRITTEN.test(name)) rmSync(join(folder, name), { recursive: true, force: true });
}
