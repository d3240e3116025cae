/** Exports of the config room. */
export { resolveTables, type TableSettings } from './covariates.ts';
export { type ConfigDiff, configHash, diffConfig, takeHot } from './diff.ts';
export {
  type Environment,
  loadConfig,
  parseConfig,
  type ReadConfig,
  readConfig,
  validateConfig,
} from './load.ts';
export { createRouter, ingestLimits, reservedTopics, resolveRules } from './resolve.ts';
export { ruleIds } from './rule-ids.ts';
export { type Config, REQUEST_VERBS } from './schema.ts';
export { formatDuration, formatSize, parseDuration, parseSize } from './units.ts';
export { configWarnings } from './warnings.ts';
