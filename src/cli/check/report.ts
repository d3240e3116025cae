/** Text output of `gatecast check`: the rules of a config, and the streams of each. */
import { type Config, formatDuration, parseDuration, readableDuration } from '../../config/index.ts';
import type { IngestRule } from '../../ingest/rule.ts';
import type { Heard, HeardStream } from '../shared/heard.ts';
import { many } from '../shared/output.ts';

const MAX_STREAMS_SHOWN = 200;
const MAX_REJECTS_SHOWN = 50;

export interface RuleSummary {
  readonly match: string;
  readonly filter: string;
  /** What is subscribed to. */
  readonly filters: readonly string[];
  readonly payload: string;
  readonly fields: 'auto' | readonly string[];
  /** Unit and aggregate of each field that sets its own. */
  readonly own: readonly string[];
  readonly name: string | null;
  readonly unit: string | null;
  readonly interval: string;
  readonly aggregate: string;
  readonly fill: string;
  readonly horizon: string;
}

export function summarise(rules: readonly IngestRule[]): RuleSummary[] {
  return rules.map(({ pattern, payload, decoder, name, unit, stream }) => ({
    match: pattern.source,
    filter: pattern.filter,
    filters: pattern.filters,
    payload,
    fields: decoder.fields?.map(({ path }) => path) ?? 'auto',
    own: (decoder.fields ?? []).map(({ unit: own, stream: settings }) =>
      [own, settings?.aggregate].filter((text) => typeof text === 'string').join(', '),
    ),
    name,
    unit,
    interval: stream.intervalMs === null ? 'auto' : formatDuration(stream.intervalMs),
    aggregate: stream.aggregate,
    fill: stream.fill,
    horizon: formatDuration(stream.horizonMs),
  }));
}

export const ruleCount = ({ length }: readonly unknown[]): string => many(length, 'rule');

function stepText({ interval, aggregate, fill, horizon }: RuleSummary): string {
  const learnt = interval === 'auto';
  const every = learnt ? 'interval learnt from the messages' : `every ${interval}`;
  const ms = parseDuration(horizon);
  const stepMs = learnt ? null : parseDuration(interval);
  const steps = ms === null || stepMs === null ? '' : ` (${many(Math.floor(ms / stepMs), 'step')})`;
  return `${every}, ${aggregate}; gaps: ${fill}; forecasts ${learnt ? 'up to ' : ''}${ms === null ? horizon : readableDuration(ms)} ahead${steps}`;
}

export function configText(path: string, config: Config, rules: readonly RuleSummary[]): string {
  const lines = rules.flatMap((rule, at) => {
    const fields =
      rule.fields === 'auto'
        ? 'every number'
        : rule.fields.map((path, n) => (rule.own[n] ? `${path} (${rule.own[n]})` : path)).join(', ');
    return [
      `  [${at}] ${rule.match}`,
      `      subscribes to ${rule.filters.join(', ')}, reads ${rule.payload}: ${fields}${rule.unit === null ? '' : `, in ${rule.unit}`}`,
      `      ${stepText(rule)}`,
    ];
  });
  const count = ruleCount(rules);
  return `${path} is valid: node ${config.node} at ${config.mqtt.url}, ${count}\n${lines.join('\n')}\n`;
}

export function heardText(heard: Heard, rules: readonly RuleSummary[]): string {
  const streams = heard.streams();
  const lines = [`${many(heard.messages, 'message')}, ${many(streams.length, 'stream')}`];
  for (const [at, { match }] of rules.entries()) {
    const own = streams.filter(({ rule }) => rule === at);
    lines.push(`  [${at}] ${match}: ${own.length === 0 ? 'no messages' : many(own.length, 'stream')}`);
    for (const stream of own.slice(0, MAX_STREAMS_SHOWN)) {
      lines.push(`      ${streamText(stream)}`);
      for (const hint of heard.hints(stream)) lines.push(`        ${hint}`);
    }
    if (own.length > MAX_STREAMS_SHOWN) lines.push(`      and ${own.length - MAX_STREAMS_SHOWN} more`);
  }
  const rejects = heard.rejects();
  if (rejects.length > 0) lines.push('rejected:');
  for (const { topic, reason, detail, count } of rejects.slice(0, MAX_REJECTS_SHOWN))
    lines.push(`  ${topic}: ${reason} (${count}) ${detail}`);
  if (rejects.length > MAX_REJECTS_SHOWN) lines.push(`  and ${rejects.length - MAX_REJECTS_SHOWN} more`);
  return `${lines.join('\n')}\n`;
}

function streamText({ stream, topic, unit, count, min, max, last, outside }: HeardStream): string {
  const shown = (value: number): string => String(Number(value.toPrecision(6)));
  const range = count > 1 ? `, ${shown(min)} to ${shown(max)}` : '';
  const beyond = outside > 0 ? `; ${outside} outside its limits` : '';
  return `${stream} = ${shown(last)}${unit === null ? '' : ` ${unit}`} (${many(count, 'reading')}${range}${beyond}) from ${topic}`;
}
