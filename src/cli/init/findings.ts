/** Device families found by `gatecast init`, and a test of the suggested config on the recorded messages. */

import type { Config } from '../../config/index.ts';
import { createRouter } from '../../config/index.ts';
import type { SuggestedRule } from '../../config/suggest/rules.ts';
import { excerpt } from '../../ingest/rejects.ts';
import type { Survey } from '../../ingest/survey.ts';
import { Heard } from '../shared/heard.ts';
import type { Recorded } from '../shared/listen-survey.ts';
import { many } from '../shared/output.ts';
import { textTable } from '../shared/text-table.ts';

interface FamilyFinding {
  readonly family: string;
  readonly topics: number;
  readonly streams: number;
  readonly rules: number;
}

/** Applies a config to the recorded messages. */
export function tryOut(config: Config, recording: readonly Recorded[]): Heard {
  const router = createRouter(config);
  const heard = new Heard();
  for (const { topic, payload, arrivalMs } of recording)
    if (router.rulesOf(topic).length > 0) heard.add(topic, router.wholeMessage(topic, payload, arrivalMs));
  return heard;
}

/** @param first index of the first of `rules` in the tested config */
export function findingsOf(rules: readonly SuggestedRule[], heard: Heard, first: number): FamilyFinding[] {
  const streams = heard.streams();
  const found = new Map<string, FamilyFinding>();
  for (const [at, { family, topics }] of rules.entries()) {
    const name = family ?? 'other';
    const before = found.get(name) ?? { family: name, topics: 0, streams: 0, rules: 0 };
    found.set(name, {
      family: name,
      topics: before.topics + topics.length,
      streams: before.streams + streams.filter(({ rule }) => rule === first + at).length,
      rules: before.rules + 1,
    });
  }
  return [...found.values()].sort((a, b) => Number(a.family === 'other') - Number(b.family === 'other'));
}

export const findingsText = (findings: readonly FamilyFinding[]): string =>
  textTable([
    ['found', 'topics', 'streams'],
    ...findings.map(({ family, topics, streams }) => [family, String(topics), String(streams)]),
  ]);

/** Topics with numbers that no rule of the config reads: settings, counters of a family, unknown layouts. */
export function notRead(config: Config, survey: Survey): string[] {
  const router = createRouter(config);
  return survey
    .topics()
    .map(({ topic }) => topic)
    .filter((topic) => router.rulesOf(topic).length === 0);
}

export function notReadText(topics: readonly string[]): string {
  if (topics.length === 0) return '';
  const names = topics.slice(0, 5).map((topic) => excerpt(topic));
  return `not read: ${many(topics.length, 'topic')} without a known measurement: ${names.join(', ')}${topics.length > 5 ? ', …' : ''}\n`;
}
