/** One entry of `streams` in the config, resolved: which topics, how to read them, and what each stream is like. */
import type { StreamSpec } from '../series/spec.ts';
import type { DecoderSettings } from './decoder.ts';
import type { PayloadKind } from './decoders/index.ts';
import type { TopicPattern } from './pattern.ts';

/** Everything of a stream but what the reading decides. */
export type StreamSettings = Omit<StreamSpec, 'name' | 'unit' | 'device'>;

export interface IngestRule {
  readonly pattern: TopicPattern;
  readonly payload: PayloadKind;
  readonly decoder: DecoderSettings;
  /** Template of stream names, such as `{device}/{field}`; null: what the wildcards took, then the field. */
  readonly name: string | null;
  /** Template of device names; null or absent: the part of the stream's name that its siblings share, see `deviceName`. */
  readonly device?: string | null;
  readonly unit: string | null;
  readonly stream: StreamSettings;
}

/** Topics kept out of ingestion, so that the agent never forecasts its own output. */
export interface ReservedTopics {
  readonly pattern: TopicPattern;
  /** Let through to rules that spell out the first level instead of reaching it by a wildcard. */
  readonly unlessNamed: boolean;
}

export interface IngestLimits {
  readonly maxStreams: number;
  readonly maxPayloadBytes: number;
  readonly maxJsonDepth: number;
  /** Readings of one message; the rest of it is left out and counted. */
  readonly maxReadings: number;
  /** Topics whose route is remembered; others are looked up again. */
  readonly topicCache: number;
}

export const DEFAULT_LIMITS: IngestLimits = {
  maxStreams: 2000,
  maxPayloadBytes: 256 * 1024,
  maxJsonDepth: 32,
  maxReadings: 256,
  topicCache: 20_000,
};

/** Where a stream's readings come from; enough to take the stream up again after a restart. */
export interface StreamSource {
  readonly topic: string;
  readonly field: string;
}

export interface DiscoveredStream {
  readonly spec: StreamSpec;
  readonly source: StreamSource;
  /** Number of the rule in the config, from 0. */
  readonly rule: number;
}
