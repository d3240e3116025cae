/** A resolved entry of `streams` in the config: topics, decoding, and stream settings. */
import type { StreamSpec } from '../series/spec.ts';
import type { DecoderSettings } from './decoder.ts';
import type { PayloadKind } from './decoders/index.ts';
import type { TopicPattern } from './pattern.ts';

/** Settings of a stream that do not depend on the reading. */
export type StreamSettings = Omit<StreamSpec, 'name' | 'unit' | 'device'>;

export interface IngestRule {
  readonly pattern: TopicPattern;
  readonly payload: PayloadKind;
  readonly decoder: DecoderSettings;
  /** Template of stream names, such as `{device}/{field}`; null: the text matched by the wildcards, then the field. */
  readonly name: string | null;
  /** Template of device names; null or absent: the part of the stream's name that its siblings share, see `deviceName`. */
  readonly device?: string | null;
  readonly unit: string | null;
  readonly stream: StreamSettings;
}

/** Topics kept out of ingestion, so that the agent never forecasts its own output. */
export interface ReservedTopics {
  readonly pattern: TopicPattern;
  /** Not reserved for rules whose first level is a literal rather than a wildcard. */
  readonly unlessNamed: boolean;
}

export interface IngestLimits {
  readonly maxStreams: number;
  readonly maxPayloadBytes: number;
  readonly maxJsonDepth: number;
  /** Maximum number of readings per message; further readings are dropped and counted. */
  readonly maxReadings: number;
  /** Number of cached routes. */
  readonly topicCache: number;
}

export const DEFAULT_LIMITS: IngestLimits = {
  maxStreams: 2000,
  maxPayloadBytes: 256 * 1024,
  maxJsonDepth: 32,
  maxReadings: 256,
  topicCache: 20_000,
};

/** Source of a stream's readings; saved to restore the stream after a restart. */
export interface StreamSource {
  readonly topic: string;
  readonly field: string;
}

export interface DiscoveredStream {
  readonly spec: StreamSpec;
  readonly source: StreamSource;
  /** Index of the rule in the config. */
  readonly rule: number;
}
