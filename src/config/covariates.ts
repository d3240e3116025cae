/** Converts the covariates of the config for the series core and the agent. */
import type { CovariateName } from '../series/spec.ts';
import type { CovariateConfig } from './covariate-schema.ts';
import type { Config } from './schema.ts';
import type { StreamConfig } from './stream-schema.ts';

/** Source of a table of values known ahead. The name consists of all settings of the source. */
export type TableSettings =
  | {
      readonly name: string;
      readonly kind: 'topic';
      readonly topic: string;
      readonly list: string | null;
      readonly time: string;
      readonly value: string;
    }
  | {
      readonly name: string;
      readonly kind: 'file';
      readonly file: string;
      readonly time: string;
      readonly column: string;
    };

/** @param list of a rule */
export function covariateNames(list: StreamConfig['covariates']): CovariateName[] {
  return entries(list).flatMap((one): CovariateName[] => {
    if (typeof one === 'string') return [{ kind: 'stream', name: one }];
    if (one.stream !== undefined) return [{ kind: 'stream', name: one.stream }];
    return tablesOf(one).map(({ name }) => ({ kind: 'table', name }));
  });
}

export function streamCovariates({ streams }: Pick<Config, 'streams'>): ReadonlySet<string> {
  const named = streams.flatMap(({ covariates }) => covariateNames(covariates));
  return new Set(named.filter(({ kind }) => kind === 'stream').map(({ name }) => name));
}

/** All tables of a config, each once. */
export function resolveTables(config: Pick<Config, 'streams'>): TableSettings[] {
  const tables = config.streams.flatMap(({ covariates }) => entries(covariates).flatMap(tablesOf));
  return [...new Map(tables.map((table) => [table.name, table])).values()];
}

const entries = (list: StreamConfig['covariates']): readonly CovariateConfig[] =>
  list === 'auto' ? [] : list;

/** One table, or none if the entry is a stream. */
function tablesOf(one: CovariateConfig): TableSettings[] {
  if (typeof one === 'string') return [];
  const { topic, file, list = null, time = 'time', value = 'value', column } = one;
  if (topic !== undefined)
    return [{ name: JSON.stringify([topic, list, time, value]), kind: 'topic', topic, list, time, value }];
  if (file !== undefined && column !== undefined)
    return [{ name: JSON.stringify([file, time, column]), kind: 'file', file, time, column }];
  return [];
}
