/** Rules for tests, made the short way. */
import type { DecoderSettings } from '../../src/ingest/decoder.ts';
import type { PayloadKind } from '../../src/ingest/decoders/index.ts';
import { parsePattern } from '../../src/ingest/pattern.ts';
import type { IngestRule } from '../../src/ingest/rule.ts';

export function settings(
  fields: readonly string[] | null,
  more: Partial<DecoderSettings> = {},
): DecoderSettings {
  return {
    fields:
      fields?.map((path) => ({
        path,
        name: path.startsWith('/') ? path.slice(1).replaceAll('/', '.') : path,
        unit: null,
      })) ?? null,
    time: null,
    numericStrings: false,
    ...more,
  };
}

export function rule(
  match: string,
  payload: PayloadKind = 'auto',
  more: Partial<IngestRule> = {},
): IngestRule {
  return {
    pattern: parsePattern(match),
    payload,
    decoder: settings(null),
    name: null,
    unit: null,
    stream: {
      intervalMs: null,
      aggregate: 'mean',
      fill: 'model',
      maxGapMs: 7_200_000,
      latenessMs: 2000,
      min: null,
      max: null,
      maxRatePerMs: null,
      horizonMs: 86_400_000,
      thresholds: [],
      timeZone: 'UTC',
      coverageTarget: 0.8,
    },
    ...more,
  };
}
