/** One model for the engines of all partitions: each horizon is loaded once. */
import type { Model } from '../forecast/model.ts';
import type { Stepper } from '../model/stepper.ts';

/** The sessions live as long as the process: partitions come and go. */
export function sharedModel(model: Model): Model {
  const byLeads = new Map<number, Promise<Stepper>>();
  return {
    id: model.id,
    version: model.version,
    hash: model.hash,
    ...(model.base !== undefined && { base: model.base }),
    stateRows: model.stateRows,
    hidden: model.hidden,
    stepper: (leads) => {
      let loaded = byLeads.get(leads);
      if (loaded === undefined) {
        loaded = model.stepper(leads).then((stepper) => oneAtATime(stepper));
        byLeads.set(leads, loaded);
        loaded.catch(() => byLeads.delete(leads));
      }
      return loaded;
    },
  };
}

/** A stepper writes its results into arrays that the next run overwrites: runs do not overlap, and each result is copied. */
function oneAtATime(stepper: Stepper): Stepper {
  let before: Promise<unknown> = Promise.resolve();
  const { inputs, leads, layers, hidden, hasOwn } = stepper;
  return {
    inputs,
    leads,
    layers,
    hidden,
    ...(hasOwn !== undefined && { hasOwn }),
    run: (n, x, h) => {
      const result = before.then(async () => {
        const { quantiles, own, h: next } = await stepper.run(n, x, h);
        return { quantiles: quantiles.slice(), h: next.slice(), ...(own && { own: own.slice() }) };
      });
      before = result.catch(() => {});
      return result;
    },
    release: () => Promise.resolve(),
  };
}
