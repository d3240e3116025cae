/** What is said of a group of streams: its model, the one before, and what fine-tuning did. Pure. */
import type { GroupSlots } from '../model/slots.ts';
import type { GroupInput } from '../outputs/messages.ts';
import type { FineTuner } from '../training/finetuner.ts';
import type { ChosenModel } from './model.ts';

export function groupStatus(
  { name, model, trainedAt }: ChosenModel,
  { previous, probation }: GroupSlots,
  { lastRun, waitsFor }: Pick<FineTuner, 'lastRun' | 'waitsFor'>,
): GroupInput {
  const { status, reason, trigger, startedMs, endedMs, found } = lastRun;
  return {
    champion: model === null ? 'naive' : name,
    version: model?.version ?? '',
    trainedAt,
    previous,
    probationSinceMs: probation?.sinceMs ?? null,
    holdout: found?.losses ?? null,
    lastRun: { status, reason, trigger, startedMs, endedMs, found },
    waitsFor,
  };
}
