/**
 * Makes src/forecast/cold-widths.ts: how much wider intervals of young streams have to be, so that 80 % of what came in many
 * starts of other streams would have been inside. Usage: tsx test/bench/cold.ts FILE INTERVAL HORIZON [FILE INTERVAL HORIZON ...],
 * CSV files with a column `time` of sets that may be trained on. Starts from the table as it is: run it again until it stands still.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { COLD_COUNTS, type ColdPoint, coldScores, coldText, playCold } from '../../src/backtest/cold.ts';
import { playOptions, readSeries } from '../../src/backtest/request.ts';
import { openModel } from '../../src/backtest/run.ts';
import { COLD_BUCKETS, COLD_LEADS, COLD_WIDTHS } from '../../src/forecast/cold-widths.ts';
import { Engine } from '../../src/forecast/engine.ts';
import { ModelRegistry } from '../../src/model/registry.ts';

const MOST = 3;
const table = fileURLToPath(new URL('../../src/forecast/cold-widths.ts', import.meta.url));

/** The value that this share of sorted ones do not exceed. */
const quantile = (values: number[], share: number): number =>
  values.sort((a, b) => a - b)[Math.floor(share * values.length)] ?? 1;

async function main(parts: string[]): Promise<void> {
  const registry = new ModelRegistry(null);
  const points: ColdPoint[] = [];
  for (let i = 0; i + 2 < parts.length; i += 3) {
    const [file, interval, horizon] = [parts[i] ?? '', Number(parts[i + 1]), Number(parts[i + 2])];
    const request = {
      time: ['time'],
      columns: 'all' as const,
      interval,
      horizon,
      start: 0,
      stride: 1,
      registry,
      model: 'base',
      aggregate: 'mean' as const,
      fill: 'model' as const,
      timezone: 'UTC',
      finetune: null,
      order: 'time' as const,
      missing: [],
    };
    const { model } = openModel(request as never);
    const { series } = readSeries(file, request as never);
    const before = i * 1000;
    await playCold(
      () => new Engine(model),
      series,
      playOptions(request as never),
      (point) => points.push({ ...point, series: before + point.series }),
    );
  }
  process.stdout.write(coldText(coldScores(points)));
  const widths = COLD_BUCKETS.flatMap((count, b) =>
    COLD_LEADS.map((lead, l) => {
      const bySeries = new Map<number, number[]>();
      for (const point of points) {
        if (point.count !== count || point.lead < lead / Math.SQRT2 || point.lead >= lead * Math.SQRT2)
          continue;
        const { actual, low, median, high } = point;
        const half = actual < median ? median - low : high - median;
        const error = Math.abs(actual - median);
        const ratio =
          error <= 1e-6 * Math.abs(actual) ? 0 : half > 0 ? error / half : Number.POSITIVE_INFINITY;
        bySeries.set(point.series, [...(bySeries.get(point.series) ?? []), ratio]);
      }
      // Each series counts the same.
      const logs = [...bySeries.values()].flatMap((ratios) => {
        const thinned = ratios.sort((a, b) => a - b);
        return Array.from(
          { length: 50 },
          (_, i) => thinned[Math.floor(((i + 0.5) / 50) * thinned.length)] ?? 1,
        );
      });
      const old = COLD_WIDTHS[b * COLD_LEADS.length + l] ?? 0;
      const more = Math.log(Math.max(0.05, quantile(logs, 0.8)));
      return Math.round(100 * Math.max(-1, Math.min(MOST, old + (Number.isFinite(more) ? more : 0)))) / 100;
    }),
  );
  const text = readFileSync(table, 'utf8');
  const rows = COLD_BUCKETS.map(
    (_, b) => `  ${widths.slice(b * COLD_LEADS.length, (b + 1) * COLD_LEADS.length).join(', ')},`,
  );
  const head = text.slice(0, text.indexOf('export const COLD_WIDTHS'));
  writeFileSync(
    table,
    `${head}// biome-ignore format: a row of leads for each number of buckets\nexport const COLD_WIDTHS: readonly number[] = [\n${rows.join('\n')}\n];\n`.replace(
      /(\/\/ biome-ignore[^\n]*\n)+/g,
      '$1',
    ),
  );
  if (COLD_COUNTS.length !== COLD_BUCKETS.length) throw new Error('counts and table differ');
}

await main(process.argv.slice(2));
