/** The list of outputs, and all of them as one. An error in an output is logged and affects neither the others nor the agent. */
import type { Context } from '../agent/part.ts';
import { errorText } from '../errors.ts';
import type { Anomaly } from '../forecast/anomalies.ts';
import type { Forecast } from '../forecast/forecast.ts';
import type { LeadScore } from '../forecast/track.ts';
import type { Outgoing } from '../mqtt/outbox.ts';
import type { StreamSpec } from '../series/spec.ts';
import { RateLimitedLog } from '../system/rate-limited-log.ts';
import type { MetaStore } from '../system/stored-value.ts';
import { HomeAssistant } from './home-assistant/home-assistant.ts';
import { JsonTopics } from './json/json-topics.ts';
import type { Alert, GroupInput, HealthInput, ModelName, Output } from './output.ts';
import { Sparkplug, type SparkplugParts } from './sparkplug/sparkplug.ts';

/** What an output may use, in addition to the context of every part. */
interface OutputContext
  extends Omit<Context, 'store' | 'forget' | 'configure' | 'restart' | 'between' | 'resubscribe'> {
  readonly store: MetaStore;
  /** Streams that the agent forecasts. */
  readonly streams: () => readonly StreamSpec[];
  /** The model that forecasts. */
  readonly model: () => ModelName;
  /** Group of the streams that share the model. */
  readonly group: string;
  /** For tests: makes the connection of an edge node. */
  readonly edgeClient?: SparkplugParts['edgeClient'];
}

/** The list of outputs; their messages are sent in this order. */
export const outputsOf = (context: OutputContext): Output[] => [
  new JsonTopics(context),
  new HomeAssistant(context),
  new Sparkplug(context),
];

/** All outputs. Their errors are logged, rate-limited for each reason. */
export function createOutputs(context: OutputContext): Outputs {
  const { clock, log } = context;
  const warnings = new RateLimitedLog(clock);
  return new Outputs(outputsOf(context), (output, reason) =>
    warnings.say(`${output} ${reason}`, (omitted) => log.error('output failed', { output, reason, omitted })),
  );
}

export class Outputs {
  private failures = 0;

  /** @param report called with the error of an output */
  constructor(
    readonly list: readonly Output[],
    private readonly report: (output: string, reason: string) => void,
  ) {}

  birth(): Outgoing[] {
    return this.list.flatMap((output) => output.birth?.() ?? []);
  }

  will(): Outgoing | null {
    for (const output of this.list) {
      const will = output.will?.() ?? null;
      if (will !== null) return will;
    }
    return null;
  }

  farewell(): Outgoing[] {
    return this.list.flatMap((output) => output.farewell?.() ?? []);
  }

  streams(specs: readonly StreamSpec[]): void {
    this.each((output) => output.streams?.(specs));
  }

  /** A plain loop without a closure, because it runs for every forecast. */
  forecast(forecast: Forecast, nowMs: number): void {
    for (const output of this.list) {
      try {
        output.forecast?.(forecast, nowMs);
      } catch (error) {
        this.failed(output.name, error);
      }
    }
  }

  anomaly(stream: string, anomaly: Anomaly): void {
    this.each((output) => output.anomaly?.(stream, anomaly));
  }

  score(stream: string, scores: readonly LeadScore[], window: number): void {
    this.each((output) => output.score?.(stream, scores, window));
  }

  reset(stream: string): void {
    this.each((output) => output.reset?.(stream));
  }

  health(health: HealthInput): void {
    this.each((output) => output.health?.(health));
  }

  alert(id: string, alert: Alert | null): void {
    this.each((output) => output.alert?.(id, alert));
  }

  group(group: string, status: GroupInput): void {
    this.each((output) => output.group?.(group, status));
  }

  /** Messages that could not be made or published: of each output, and those whose output failed. */
  dropped(): Readonly<Record<string, number>>[] {
    const own = this.list.map((output) => output.dropped?.() ?? {});
    return this.failures === 0 ? own : [...own, { 'output-failed': this.failures }];
  }

  /** What the outputs cannot publish because of a limit of the broker. */
  limits(): string[] {
    return this.list.map((output) => output.limit?.() ?? null).filter((limit) => limit !== null);
  }

  private failed(output: string, error: unknown): void {
    this.failures++;
    this.report(output, errorText(error));
  }

  private each(call: (output: Output) => void): void {
    for (const output of this.list) {
      try {
        call(output);
      } catch (error) {
        this.failed(output.name, error);
      }
    }
  }
}
