/** The config room's front door. */
export { resolveTables, type TableSettings } from './covariates.ts';
export { type ConfigDiff, configHash, diffConfig, takeHot } from './diff.ts';
export { type Environment, loadConfig, parseConfig, validateConfig } from './load.ts';
export { createRouter, ingestLimits, reservedTopics, resolveRules } from './resolve.ts';
export type { Config } from './schema.ts';
export { formatDuration, formatSize, parseDuration, parseSize } from './units.ts';
