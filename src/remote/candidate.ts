/** Applies pushes to the layers and computes the resulting config. Changes nothing. */
import type { Config } from '../config/index.ts';
import type { AcceptedPush, Content } from './admission.ts';
import type { Problem } from './contract.ts';
import {
  checkLayer,
  type Effective,
  type Layers,
  type LocalFile,
  layerOrder,
  nextLayer,
  tryEffective,
} from './layers.ts';
import { isObject, type JsonObject, mergePatch } from './merge-patch.ts';
import type { NewPush, PushLifecycle, Rejected } from './push-lifecycle.ts';
import { problem } from './verify.ts';

interface ConfigCandidate {
  /** The newest push of the candidate. */
  readonly taken: AcceptedPush;
  /** Older pushes of the batch, replaced by the newest. */
  readonly superseded: readonly NewPush[];
  readonly layers: Layers;
  readonly effective: Effective;
}

type Problems = Pick<Rejected, 'code' | 'problems'>;

interface CandidatesParts {
  readonly file: () => LocalFile;
  readonly local: { readonly remote_config: Pick<Config['remote_config'], 'groups'> };
  readonly life: Pick<PushLifecycle, 'previousLayers'>;
}

export class ConfigCandidates {
  constructor(private readonly parts: CandidatesParts) {}

  /** The config after a batch: of all pushes if valid, otherwise of those that are valid one after the other. */
  async choose(
    batch: readonly AcceptedPush[],
    running: Layers,
  ): Promise<{ readonly candidate: ConfigCandidate | null; readonly rejected: readonly Rejected[] }> {
    const rejected: Rejected[] = [];
    const good: AcceptedPush[] = [];
    let layers = running;
    for (const taken of batch) {
      const folded = this.fold(layers, taken);
      if ('code' in folded) rejected.push({ push: taken.push, ...folded });
      else {
        layers = folded.layers;
        good.push(taken);
      }
    }
    const last = good.at(-1);
    if (last === undefined) return { candidate: null, rejected };
    const whole = this.evaluate(layers);
    if (!('problems' in whole)) {
      const superseded = good.slice(0, -1).map(({ push }) => push);
      return { candidate: { taken: last, superseded, layers, effective: whole }, rejected };
    }
    let candidate: ConfigCandidate | null = null;
    layers = running;
    for (const taken of good) {
      const folded = this.fold(layers, taken);
      if ('code' in folded) continue;
      const effective = this.evaluate(folded.layers);
      if ('problems' in effective) rejected.push({ push: taken.push, code: 400, ...effective });
      else {
        layers = folded.layers;
        const superseded: readonly NewPush[] =
          candidate === null ? [] : [...candidate.superseded, candidate.taken.push];
        candidate = { taken, superseded, layers, effective };
      }
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    return { candidate, rejected };
  }

  fold(layers: Layers, { push, content }: AcceptedPush): { readonly layers: Layers } | Problems {
    if (content.rollback === true) {
      const previous = this.parts.life.previousLayers();
      return previous === null
        ? { code: 400, problems: [problem('rollback', 'there is no previous config')] }
        : { layers: previous };
    }
    if (content.remove === true) {
      const { [push.layer]: _, ...others } = layers;
      return { layers: others };
    }
    const given: JsonObject | undefined = content.config ?? content.patch;
    const wrong = (given === undefined ? null : checkLayer(given)) ?? checkModelName(given, content.model);
    if (wrong !== null) return wrong;
    const layer = nextLayer(layers[push.layer], content);
    const { model } = content;
    const next =
      model === undefined ? layer : (mergePatch(layer, { model: { name: model.name } }) as JsonObject);
    return { layers: { ...layers, [push.layer]: next } };
  }

  evaluate(layers: Layers): Effective | { readonly problems: readonly Problem[] } {
    const { file, local } = this.parts;
    return tryEffective(file(), layers, layerOrder(local.remote_config.groups));
  }
}

/** A push with a model must not name another model. */
function checkModelName(given: JsonObject | undefined, model: Content['model']): Problems | null {
  const named = isObject(given?.model) ? given.model.name : undefined;
  if (model === undefined || named === undefined || named === model.name) return null;
  const text = `must be ${model.name}, the model that comes with the push`;
  return { code: 400, problems: [problem('model.name', text, 'leave it out')] };
}
