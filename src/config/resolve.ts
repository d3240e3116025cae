/** Converts the config to the settings of the ingest room and the series core. */
import type { DecoderSettings, FieldSelector, FieldSettings } from '../ingest/decoder.ts';
import { pathName } from '../ingest/json-path.ts';
import { parsePattern } from '../ingest/pattern.ts';
import { Router } from '../ingest/router.ts';
import type { IngestLimits, IngestRule, ReservedTopics, StreamSettings } from '../ingest/rule.ts';
import { identityPointers } from '../ingest/stream-name.ts';
import { MAX_LEADS, type Threshold } from '../series/spec.ts';
import { covariateNames } from './covariates.ts';
import type { Config } from './schema.ts';
import type { FieldConfig, StreamConfig } from './stream-schema.ts';

const DAY_MS = 86_400_000;
const GAP_MS = 7_200_000;
/** Minimum length of a long gap, buckets. */
const GAP_BUCKETS = 8;

export function resolveRules(config: Config): IngestRule[] {
  return config.streams.map((rule) => ({
    pattern: parsePattern(rule.match),
    payload: rule.payload,
    decoder: decoderSettings(rule),
    name: rule.name ?? null,
    device: rule.device ?? null,
    unit: rule.unit ?? null,
    stream: streamSettings(rule, config),
  }));
}

export function createRouter(config: Config): Router {
  return new Router(resolveRules(config), { limits: ingestLimits(config), reserved: reservedTopics(config) });
}

function ingestLimits({ ingest, max_streams }: Config): IngestLimits {
  return {
    maxStreams: max_streams,
    maxPayloadBytes: ingest.max_payload,
    maxJsonDepth: ingest.max_depth,
    maxReadings: ingest.max_readings,
    topicCache: ingest.topic_cache,
  };
}

/**
 * Topics that are never read: the agent's own outputs, Home Assistant's discovery messages, and the topics of `ignore`.
 * Home Assistant republishes its sensors, including forecasts, below its discovery prefix, so other topics below the prefix
 * are read only by rules that name it.
 */
export function reservedTopics({
  base,
  ignore,
  publish,
  node,
  sparkplug,
}: Pick<Config, 'base' | 'ignore' | 'node'> & {
  publish: Pick<Config['publish'], 'discovery_prefix'>;
  sparkplug: Pick<Config['sparkplug'], 'enabled' | 'group' | 'node'>;
}): ReservedTopics[] {
  const prefix = publish.discovery_prefix;
  const never = [
    `${base}/#`,
    `${prefix}/status`,
    `${prefix}/+/+/config`,
    `${prefix}/+/+/+/config`,
    ...ignore,
    ...(sparkplug.enabled ? [`spBv1.0/${sparkplug.group}/+/${sparkplug.node ?? node}/#`] : []),
  ];
  return [
    ...never.map((filter) => ({ pattern: parsePattern(filter), unlessNamed: false })),
    { pattern: parsePattern(`${prefix}/#`), unlessNamed: true },
  ];
}

function decoderSettings(rule: StreamConfig): DecoderSettings {
  const fields =
    rule.fields === 'auto'
      ? null
      : rule.fields.map(
          (entry): FieldSelector =>
            typeof entry === 'string'
              ? { path: entry, name: pathName(entry), unit: null }
              : {
                  path: entry.field,
                  name: entry.name ?? pathName(entry.field),
                  unit: entry.unit ?? null,
                  stream: fieldSettings(entry),
                },
        );
  return {
    fields,
    time: rule.time ?? null,
    numericStrings: rule.numeric_strings,
    decimalComma: rule.decimal_comma,
    unit: rule.unit ?? null,
    zone: rule.time_zone,
    identity: identityPointers(rule.name ?? ''),
    ...(rule.records === undefined ? {} : { records: rule.records }),
  };
}

/** Settings of an entry of `fields` that override the rule's. */
function fieldSettings({ aggregate, limits }: FieldConfig): FieldSettings {
  return {
    ...(aggregate === undefined ? {} : { aggregate }),
    ...(limits?.min === undefined ? {} : { min: limits.min }),
    ...(limits?.max === undefined ? {} : { max: limits.max }),
    ...(limits?.max_rate === undefined ? {} : { maxRatePerMs: limits.max_rate }),
  };
}

function streamSettings(rule: StreamConfig, config: Config): StreamSettings {
  const intervalMs = rule.interval;
  const longest = intervalMs === null ? DAY_MS : Math.min(DAY_MS, MAX_LEADS * intervalMs);
  return {
    intervalMs,
    aggregate: rule.aggregate,
    fill: rule.gaps.fill,
    maxGapMs: rule.gaps.max ?? Math.max(GAP_MS, GAP_BUCKETS * (intervalMs ?? 0)),
    latenessMs: rule.lateness ?? config.lateness,
    min: rule.limits.min ?? null,
    max: rule.limits.max ?? null,
    maxRatePerMs: rule.limits.max_rate ?? null,
    horizonMs: rule.horizon ?? Math.max(longest, intervalMs ?? 0),
    thresholds: rule.thresholds.map(
      ({ name, above, below }): Threshold =>
        above !== undefined
          ? { name, side: 'above', value: above }
          : { name, side: 'below', value: below as number },
    ),
    timeZone: config.timezone,
    coverageTarget: rule.coverage,
    ...(rule.covariates === 'auto' ? { findsCovariates: true } : {}),
    ...(rule.covariates === 'auto' || rule.covariates.length === 0
      ? {}
      : { covariates: covariateNames(rule.covariates) }),
  };
}
