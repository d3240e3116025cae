/** A tick that shares the time may stop at any bucket. */
import { expect, it } from 'vitest';
import { Engine } from '../../src/forecast/engine.ts';
import { fakeModel } from '../support/fake-model.ts';
import { ordinary } from '../support/series.ts';
import { testSpec } from '../support/specs.ts';

const START = Date.UTC(2025, 0, 1);

it('a tick with a pace leaves a state that can be taken up again wherever it stops, also where the device changes its rate', async () => {
  const spec = testSpec('s', { intervalMs: null, horizonMs: 600_000 });
  const values = ordinary(4, 20)(300);
  for (let most = 1; most < 12; most++) {
    const engine = new Engine(fakeModel());
    engine.add(spec);
    for (let i = 0; i < 300; i++) {
      const timeMs = START + (i < 150 ? i * 10_000 : 1_500_000 + (i - 150) * 60_000);
      engine.push({ stream: 's', timeMs, value: values[i]!, arrivalMs: Number.NaN });
      if (i === 60) await engine.tick(null);
    }
    do {
      await engine.tick(null, false, { most });
      const snapshot = engine.snapshot('s');
      if (snapshot !== null) new Engine(fakeModel()).add(spec, snapshot);
    } while (engine.nextDueMs(START) === START);
    expect(engine.streams()[0]?.intervalMs).toBe(60_000);
  }
});
