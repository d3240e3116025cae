/** Plays messages to a survey, and its suggestion back to a router, as `check --listen` does over a broker. */
import { expect } from 'vitest';
import { configWarnings, createRouter, formatDuration, parseConfig } from '../../../src/config/index.ts';
import { suggestConfig } from '../../../src/config/suggest/suggest.ts';
import { Survey } from '../../../src/ingest/survey.ts';

export type Heard = readonly [topic: string, payload: string | Buffer | object, retained?: boolean];

const HEAD = { node: 'n', mqtt: { url: 'mqtt://b' } };
export const START_MS = 1_796_000_000_000;
export const bytes = (payload: Heard[1]): Buffer =>
  Buffer.isBuffer(payload)
    ? payload
    : Buffer.from(typeof payload === 'string' ? payload : JSON.stringify(payload));

export interface Suggested {
  readonly text: string;
  readonly config: ReturnType<typeof parseConfig>;
  /** By name, `unit aggregate min..max interval/horizon`. */
  readonly streams: Readonly<Record<string, string>>;
  readonly rejects: readonly string[];
  readonly survey: Survey;
}

/** What the rules of a config make of the messages. */
export function routed(
  config: ReturnType<typeof parseConfig>,
  round: (at: number, nowMs: number) => readonly Heard[],
  timeOf: (at: number) => number,
  rounds = 5,
): Pick<Suggested, 'streams' | 'rejects'> {
  const router = createRouter(config);
  const streams: Record<string, string> = {};
  const rejects: string[] = [];
  for (let at = 0; at < rounds; at += 1)
    for (const [topic, payload] of round(at, timeOf(at))) {
      const result = router.message(topic, bytes(payload), timeOf(at));
      rejects.push(
        ...result.rejects
          .filter(({ reason }) => reason !== 'unmatched-topic')
          .map(({ reason, detail }) => `${topic}: ${reason} ${detail}`),
      );
      for (const { spec } of result.discovered) {
        const limits = spec.min === null && spec.max === null ? '' : ` ${spec.min ?? ''}..${spec.max ?? ''}`;
        streams[spec.name] =
          `${spec.unit ?? '-'} ${spec.aggregate}${limits} ${formatDuration(spec.intervalMs ?? 0)}/${formatDuration(spec.horizonMs)}`;
      }
    }
  return { streams, rejects };
}

/** @param round gives the messages of a round, 0..4, `everyMs` apart */
export function suggested(
  round: (at: number, nowMs: number) => readonly Heard[],
  everyMs = 10_000,
  rounds = 5,
): Suggested {
  const timeOf = (at: number): number => START_MS + at * everyMs;
  const survey = new Survey();
  for (let at = 0; at < rounds; at += 1)
    for (const [topic, payload, retained] of round(at, timeOf(at)))
      survey.hear(
        topic,
        bytes(payload),
        timeOf(at) + (at % 2) * Math.min(100, everyMs / 100),
        retained ?? false,
      );
  const text = suggestConfig(HEAD, survey);
  const config = parseConfig(text);
  const { streams, rejects } = routed(config, round, timeOf, rounds);
  expect(configWarnings(config)).toEqual([]);
  // No rule reads the whole broker.
  for (const { match } of config.streams)
    expect(match.split('/').some((level) => !/^(?:[+#]|\{.*\})$/.test(level))).toBe(true);
  return { text, config, streams, rejects, survey };
}
