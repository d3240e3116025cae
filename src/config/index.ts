/** Exports of the config room. */
export { resolveTables, streamCovariates, type TableSettings } from './covariates.ts';
export { type ConfigDiff, configHash, diffConfig, takeHot } from './diff.ts';
export {
  loadConfig,
  namedFiles,
  parseConfig,
  type ReadConfig,
  readConfig,
  statedLog,
  validateConfig,
} from './load.ts';
export { createRouter, reservedTopics, resolveRules } from './resolve.ts';
export { ruleIds } from './rule-ids.ts';
export type { Config } from './schema.ts';
export { formatDuration, parseDuration, readableDuration } from './units.ts';
export { configWarnings } from './warnings.ts';
