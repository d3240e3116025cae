/** Warnings about valid but suspicious configs: rules without readings, shared names, duplicate thresholds, ports. */
import type { Issue } from '../errors.ts';
import { pathName } from '../ingest/json-path.ts';
import { parsePattern } from '../ingest/pattern.ts';
import { placeholders } from '../ingest/stream-name.ts';
import { covers } from './filters.ts';
import type { Config } from './schema.ts';
import type { StreamConfig } from './stream-schema.ts';
import { quantityOf } from './suggest/quantities.ts';

/** Ports that brokers use with TLS, and without. */
const TLS_PORTS = ['8883', '8884', '8886', '443'];
const PLAIN_PORTS = ['1883', '1884', '80', '8080'];
const MAX_COMPARED = 300;

export function configWarnings(config: Config): Issue[] {
  const issues: Issue[] = [];
  const { protocol, port } = new URL(config.mqtt.url);
  const tls = /^(?:mqtts|ssl|tls|wss):$/.test(protocol);
  const uses = `uses ${protocol}//, but port ${port} is usually`;
  if (tls && PLAIN_PORTS.includes(port))
    issues.push({ path: 'mqtt.url', message: `${uses} without TLS; the port with TLS is 8883` });
  if (!tls && TLS_PORTS.includes(port))
    issues.push({ path: 'mqtt.url', message: `${uses} with TLS: mqtts://` });
  const rules = config.streams.slice(0, MAX_COMPARED);
  const filters = rules.map(({ match }) => parsePattern(match).filters);
  for (const [at, rule] of rules.entries()) {
    const path = `streams[${at}]`;
    const ignored = config.ignore.find((pattern) =>
      coverAll(parsePattern(pattern).filters, filters[at] ?? []),
    );
    if (ignored !== undefined)
      issues.push({ path: `${path}.match`, message: `matches nothing: \`ignore\` contains ${ignored}` });
    const first = rules.findIndex(
      (other, before) =>
        before < at && coverAll(filters[before] ?? [], filters[at] ?? []) && takesAll(other, rule),
    );
    if (first >= 0)
      issues.push({
        path: `${path}.match`,
        message: `matches nothing: streams[${first}] comes first and reads everything that it matches; put the narrower rule first`,
      });
    issues.push(...nameWarnings(rule, path), ...thresholdWarnings(rule, path), ...unitWarnings(rule, path));
  }
  return [...issues, ...sameNames(rules)];
}

/** Whether each of `others` is within one of `filters`. */
const coverAll = (filters: readonly string[], others: readonly string[]): boolean =>
  others.length > 0 && others.every((other) => filters.some((filter) => covers(filter, other)));

/** Whether the first rule reads everything that the second one selects. */
function takesAll(first: StreamConfig, second: StreamConfig): boolean {
  if (first.payload !== second.payload && first.payload !== 'auto') return false;
  if (first.records !== second.records) return false;
  if (first.fields === 'auto') return true;
  if (second.fields === 'auto') return false;
  const taken = new Set(first.fields.map(fieldName));
  return second.fields.every((field) => taken.has(fieldName(field)));
}

type Field = Exclude<StreamConfig['fields'], 'auto'>[number];
const fieldName = (field: Field): string => pathName(typeof field === 'string' ? field : field.field);

/** Warns about a name without wildcards, which would merge all devices into one stream. */
function nameWarnings({ name, match }: StreamConfig, path: string): Issue[] {
  const { captures, levels } = parsePattern(match);
  if (name === undefined || levels.every(({ kind }) => kind === 'literal')) return [];
  if (placeholders(name).some((one) => one !== 'field')) return [];
  const [capture = '1'] = captures;
  return [
    {
      path: `${path}.name`,
      message: `gives the readings of all topics that match the same name; put {${capture}} into it`,
    },
  ];
}

/** One spelling for each unit: `degC`, `℃` and `Cel` are °C, `%RH` is %, `m³` is m3, `mbar` is hPa. */
const plainUnit = (unit: string): string =>
  unit
    .replace('º', '°')
    .normalize('NFKC')
    .replace(
      /^(?:°|deg(?:rees?)?)?\s*([cf])(?:el|elsius|ahrenheit)?$/i,
      (_, scale) => `°${scale.toUpperCase()}`,
    )
    .replace(/^%\s*rh$/i, '%')
    .replace(/^mbar$/, 'hPa');

/** Warns about thresholds of fields with different units, such as temperature and humidity. */
function unitWarnings({ thresholds, fields, unit }: StreamConfig, path: string): Issue[] {
  const [threshold] = thresholds;
  if (threshold === undefined || fields === 'auto') return [];
  const value = threshold.above ?? threshold.below ?? 0;
  const guess = (field: Field, seen: number): string | null | undefined =>
    quantityOf(fieldName(field), { min: seen, max: seen, rising: false })?.unit;
  // humidity is never below 0, as a threshold may be
  const unitOf = (field: Field): string | null | undefined =>
    (typeof field === 'string' ? undefined : field.unit) ?? unit ?? guess(field, value) ?? guess(field, 1);
  const byUnit = new Map<string, string>();
  for (const field of fields) {
    const own = unitOf(field) ?? undefined;
    if (own !== undefined && !byUnit.has(plainUnit(own)))
      byUnit.set(plainUnit(own), `${fieldName(field)} (${own})`);
  }
  if (byUnit.size < 2) return [];
  const names = [...byUnit.values()].join(', ');
  return [
    {
      path: `${path}.thresholds`,
      message: `apply to every field of the rule: ${names}; put fields that need no thresholds into a rule of their own with the same \`match\``,
    },
  ];
}

function thresholdWarnings({ thresholds }: StreamConfig, path: string): Issue[] {
  const seen = new Map<string, string>();
  return thresholds.flatMap(({ name, above, below }) => {
    const key = above === undefined ? `below ${below}` : `above ${above}`;
    const first = seen.get(key);
    if (first === undefined) {
      seen.set(key, name);
      return [];
    }
    return [{ path: `${path}.thresholds`, message: `"${name}" and "${first}" are both ${key}` }];
  });
}

/** Warns about rules without wildcards that have the same stream name. */
function sameNames(rules: readonly StreamConfig[]): Issue[] {
  const seen = new Map<string, number>();
  const issues: Issue[] = [];
  for (const [at, { name, match, fields }] of rules.entries()) {
    const wild = parsePattern(match).levels.some(({ kind }) => kind !== 'literal');
    if (name === undefined || wild) continue;
    const streams =
      fields === 'auto'
        ? [name]
        : fields.map((field) =>
            name.replaceAll(
              '{field}',
              typeof field === 'string' ? pathName(field) : (field.name ?? fieldName(field)),
            ),
          );
    for (const stream of streams) {
      if (/[{}]/.test(stream)) continue;
      const first = seen.get(stream);
      if (first === undefined) seen.set(stream, at);
      else if (first !== at)
        issues.push({
          path: `streams[${at}].name`,
          message: `gives the same stream ${stream} as streams[${first}]; the readings of this rule are refused`,
        });
    }
  }
  return issues;
}
