/** The existing streams, at most `maxStreams`, each owned by the rule that discovered it. */
import type { FieldSelector } from './decoder.ts';
import { createDecoder } from './decoders/index.ts';
import { deviceName, plainField, streamName, unsafeStreamName } from './naming.ts';
import type { RouteRule } from './routes.ts';
import type { DiscoveredStream, IngestRule, StreamSettings, StreamSource } from './rule.ts';

type StreamAdmission =
  | { readonly kind: 'known'; readonly name: string }
  | { readonly kind: 'new'; readonly name: string; readonly stream: DiscoveredStream }
  | { readonly kind: 'full'; readonly name: string }
  | { readonly kind: 'conflict'; readonly name: string; readonly owner: number }
  | { readonly kind: 'unnamed' };

export class Streams {
  /** Index of the owning rule, by stream name. */
  private readonly owners = new Map<string, number>();
  /** By stream name, the text that it was made from, where characters of that text are not safe. */
  private readonly texts = new Map<string, string>();

  constructor(private readonly maxStreams: number) {}

  get size(): number {
    return this.owners.size;
  }

  admit(rule: RouteRule, source: StreamSource, sentUnit: string | null): StreamAdmission {
    const name = streamName(rule.rule, source.topic, rule.taken, source.field);
    if (name === null) return { kind: 'unnamed' };
    const owner = this.owners.get(name);
    const text = unsafeStreamName(rule.rule, source.topic, rule.taken, source.field);
    if (owner === rule.number && (this.texts.get(name) ?? name) === text) return { kind: 'known', name };
    if (owner !== undefined) return { kind: 'conflict', name, owner };
    if (this.owners.size >= this.maxStreams) return { kind: 'full', name };
    this.owners.set(name, rule.number);
    if (text !== name) this.texts.set(name, text);
    return { kind: 'new', name, stream: discovered(rule, name, source, sentUnit) };
  }

  /** The stream name of a source, if no such stream exists; otherwise null. */
  unknownName(rule: RouteRule, { topic, field }: StreamSource): string | null {
    const name = streamName(rule.rule, topic, rule.taken, field);
    return name === null || this.owners.has(name) ? null : name;
  }

  delete(name: string): boolean {
    this.texts.delete(name);
    return this.owners.delete(name);
  }
}

/** The entry of `fields` that produces a reading. One entry may produce several names: `meters[meter].E`. */
function selectorOf({ payload, decoder }: IngestRule, field: string): FieldSelector | undefined {
  const { fields } = decoder;
  return (
    fields?.find(({ name }) => name === field) ??
    fields?.find((selector) => createDecoder(payload, { ...decoder, fields: [selector] }).selects(field))
  );
}

/** The configured unit overrides the sent one. */
export function discovered(
  { rule, number, taken }: RouteRule,
  name: string,
  source: StreamSource,
  sentUnit: string | null,
): DiscoveredStream {
  const field = selectorOf(rule, plainField(source.field));
  return {
    spec: {
      ...rule.stream,
      ...others(rule.stream, name),
      ...field?.stream,
      name,
      unit: field?.unit ?? rule.unit ?? sentUnit,
      device: deviceName(rule, source, taken, name),
    },
    source,
    rule: number,
  };
}

/** Excludes the stream itself from the covariates of its rule. */
function others({ covariates }: StreamSettings, name: string): Pick<StreamSettings, 'covariates'> {
  return covariates === undefined
    ? {}
    : { covariates: covariates.filter((one) => one.kind !== 'stream' || one.name !== name) };
}
