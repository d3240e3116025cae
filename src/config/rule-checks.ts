/** Checks that involve several keys of one entry of `streams`. */
import type { z } from 'zod';
import { formatOf, PAYLOAD_KINDS, type PayloadKind } from '../ingest/decoders/index.ts';
import { parsePattern, type TopicPattern } from '../ingest/pattern.ts';
import { PLACEHOLDER, placeholders, safeName } from '../ingest/stream-name.ts';
import { MAX_LEADS } from '../series/spec.ts';
import { checkFieldPath, checkPattern } from './checks.ts';

/** A partly validated rule: wrong keys may be missing or have any value. */
interface RuleDraft {
  readonly match: string;
  readonly payload: PayloadKind;
  readonly fields:
    | 'auto'
    | readonly (string | { readonly field: string; readonly name?: string | undefined })[];
  readonly time?: string | undefined;
  readonly name?: string | undefined;
  readonly device?: string | undefined;
  readonly interval: number | null;
  readonly horizon: number | null;
  readonly thresholds?: readonly ({ readonly name?: string | undefined } | undefined)[] | undefined;
}

/** Payload formats whose members can be used in a name. */
const READS_JSON: readonly PayloadKind[] = ['auto', 'json', 'text', 'zigbee2mqtt'];

type Report = (path: string, message: string) => void;

export function checkRule(value: RuleDraft, context: z.core.$RefinementCtx): void {
  if (typeof value !== 'object' || value === null) return;
  const report: Report = (path, message) => context.addIssue({ code: 'custom', path: [path], message });
  checkHorizon(value, report);
  checkFields(value, report);
  checkThresholds(value, report);
  // Reported at `match`.
  if (typeof value.match !== 'string' || checkPattern(value.match) !== null) return;
  const pattern = parsePattern(value.match);
  checkTemplates(value, pattern, report);
  if (!PAYLOAD_KINDS.includes(value.payload)) return;
  const wrong = formatOf(value.payload).checkMatch?.(pattern.filter.split('/')) ?? null;
  if (wrong !== null) report('match', wrong);
}

function checkHorizon({ interval, horizon }: RuleDraft, report: Report): void {
  if (typeof interval !== 'number' || typeof horizon !== 'number') return;
  if (horizon < interval) report('horizon', 'is shorter than `interval`, which is one step of the forecast');
  const steps = Math.ceil(horizon / interval);
  if (steps > MAX_LEADS)
    report(
      'horizon',
      `is ${steps} intervals; at most ${MAX_LEADS} are allowed. Use a longer interval or a shorter horizon`,
    );
}

function checkThresholds({ thresholds }: RuleDraft, report: Report): void {
  if (!Array.isArray(thresholds)) return;
  const seen = new Set<string>();
  for (const name of (thresholds as RuleDraft['thresholds'])?.map((one) => one?.name) ?? []) {
    if (typeof name !== 'string') continue;
    if (seen.has(name)) report('thresholds', `names "${name}" twice`);
    seen.add(name);
  }
}

function checkFields({ payload, fields, time }: RuleDraft, report: Report): void {
  if (PAYLOAD_KINDS.includes(payload) && formatOf(payload).single === true) {
    if (Array.isArray(fields))
      report('fields', `cannot be used with payload: ${payload}, which is a single value`);
    if (typeof time === 'string')
      report('time', `cannot be used with payload: ${payload}, which has no fields`);
  }
  if (!Array.isArray(fields)) return;
  const seen = new Set<string>();
  for (const entry of fields as readonly (string | { field?: string; name?: string } | undefined)[]) {
    const name = typeof entry === 'string' ? entry : (entry?.name ?? entry?.field);
    if (typeof name !== 'string') continue;
    if (seen.has(name)) report('fields', `names "${name}" twice`);
    seen.add(name);
  }
}

function checkTemplates(rule: RuleDraft, pattern: TopicPattern, report: Report): void {
  const { name, device, fields } = rule;
  if (typeof name === 'string') {
    checkTemplate('name', name, rule, pattern, report);
    if (Array.isArray(fields) && fields.length > 1 && !placeholders(name).includes('field'))
      report('name', 'gives several fields the same name; put {field} into it');
  }
  if (typeof device !== 'string') return;
  checkTemplate('device', device, rule, pattern, report);
  const named = typeof name === 'string' ? placeholders(name) : [];
  for (const member of placeholders(device).filter((one) => one.startsWith('/') && !named.includes(one)))
    report('device', `uses {${member}}, which must be in \`name\` too`);
}

function checkTemplate(
  key: 'name' | 'device',
  template: string,
  { payload }: RuleDraft,
  pattern: TopicPattern,
  report: Report,
): void {
  const wildcards = pattern.levels.filter(({ kind }) => kind !== 'literal').length;
  const allowed = [
    'field',
    'topic',
    ...pattern.captures,
    ...Array.from({ length: wildcards }, (_, at) => `${at + 1}`),
  ];
  for (const placeholder of placeholders(template))
    if (placeholder.startsWith('/')) {
      const wrong = checkFieldPath(placeholder);
      if (wrong !== null) report(key, `{${placeholder}} ${wrong}`);
      else if (!READS_JSON.includes(payload))
        report(key, `{${placeholder}} cannot be used with payload: ${payload}, which has no JSON members`);
    } else if (!allowed.includes(placeholder))
      report(
        key,
        `uses {${placeholder}}, which the pattern does not define; allowed: ${allowed.map((one) => `{${one}}`).join(', ')}`,
      );
  if (/[{}]/.test(template.replaceAll(PLACEHOLDER, '')))
    report(key, 'has a brace that is not part of a placeholder such as {field}');
  if (safeName(template.replaceAll(PLACEHOLDER, 'x')) !== template.replaceAll(PLACEHOLDER, 'x'))
    report(key, 'must be topic levels without "+", "#" and empty levels');
}
