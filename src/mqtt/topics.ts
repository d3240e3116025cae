/** All topics that gatecast publishes or subscribes to. */
import { GatecastError } from '../errors.ts';

export interface Topics {
  readonly status: string;
  readonly health: string;
  /** Topic to test a new connection: the agent publishes there and must receive the message. */
  readonly trial: string;
  forecast(stream: string): string;
  /** The median at one lead such as `1h`, as a plain number. */
  forecastAt(stream: string, lead: string): string;
  /** Read by Home Assistant's entities of the stream. */
  summary(stream: string): string;
  score(stream: string): string;
  anomaly(stream: string): string;
  alert(id: string): string;
  /** All active alerts, in one message. */
  readonly alerts: string;
  model(group: string): string;
  readonly configDesired: string;
  readonly configReported: string;
  fleetConfigDesired(group: string): string;
  /** Filter for all chunks of pushed models. */
  readonly modelChunks: string;
  /** Chunk `number` of the pushed model `name`. */
  modelChunk(name: string, number: number): string;
  /** Name and number in a chunk's topic; null for other topics. */
  chunkOf(topic: string): { readonly name: string; readonly number: number } | null;
  modelHave(name: string): string;
  /** Filter for requests with any verb. */
  readonly requests: string;
  request(verb: string): string;
  /** The verb in a request's topic; null for other topics. */
  requestVerb(topic: string): string | null;
  response(verb: string): string;
}

/** A topic of each stream: made once, because every part of a topic is checked. */
export class StreamTopics {
  private readonly known = new Map<string, { readonly topic: string; readonly bytes: number }>();

  constructor(private readonly make: (stream: string) => string) {}

  /** The topic, and its size in UTF-8. */
  of(stream: string): { readonly topic: string; readonly bytes: number } {
    let found = this.known.get(stream);
    if (found === undefined) {
      const topic = this.make(stream);
      found = { topic, bytes: Buffer.byteLength(topic) };
      this.known.set(stream, found);
    }
    return found;
  }

  forget(stream: string): void {
    this.known.delete(stream);
  }
}

const MAX_BYTES = 65_535;

/**
 * @param base first levels of every topic, default `gatecast`
 * @param node the gateway's name, one level
 * Each function throws INTERNAL if a name is not safe as topic levels: names are sanitised on input.
 */
export function topicsOf(base: string, node: string): Topics {
  const root = joinLevels(base, node);
  const requestRoot = joinLevels(root, 'request');
  const modelRoot = joinLevels(root, 'model');
  return {
    status: joinLevels(root, 'status'),
    health: joinLevels(root, 'health'),
    trial: joinLevels(root, 'trial'),
    forecast: (stream) => joinLevels(root, 'forecast', stream),
    forecastAt: (stream, lead) => joinLevels(root, 'forecast', stream, 'at', lead),
    summary: (stream) => joinLevels(root, 'summary', stream),
    score: (stream) => joinLevels(root, 'score', stream),
    anomaly: (stream) => joinLevels(root, 'anomaly', stream),
    alert: (id) => joinLevels(root, 'alert', id),
    alerts: joinLevels(root, 'alerts'),
    model: (group) => joinLevels(modelRoot, group),
    configDesired: joinLevels(root, 'config', 'desired'),
    configReported: joinLevels(root, 'config', 'reported'),
    fleetConfigDesired: (group) => joinLevels(base, 'fleet', group, 'config', 'desired'),
    modelChunks: `${modelRoot}/+/chunk/+`,
    modelChunk: (name, number) => joinLevels(modelRoot, name, 'chunk', String(number)),
    chunkOf: (topic) => {
      if (!topic.startsWith(`${modelRoot}/`)) return null;
      const found = /^([^/]+)\/chunk\/(0|[1-9]\d{0,5})$/.exec(topic.slice(modelRoot.length + 1));
      return found === null ? null : { name: found[1] ?? '', number: Number(found[2]) };
    },
    modelHave: (name) => joinLevels(modelRoot, name, 'have'),
    requests: `${requestRoot}/+`,
    request: (verb) => joinLevels(requestRoot, verb),
    requestVerb: (topic) => {
      if (!topic.startsWith(`${requestRoot}/`)) return null;
      const verb = topic.slice(requestRoot.length + 1);
      return verb === '' || verb.includes('/') ? null : verb;
    },
    response: (verb) => joinLevels(root, 'response', verb),
  };
}

/** Home Assistant's topics; `prefix` is default `homeassistant`. Throws as `topicsOf`. */
export function homeAssistantTopics(prefix: string): { status: string; device(objectId: string): string } {
  return {
    status: joinLevels(prefix, 'status'),
    device: (objectId) => joinLevels(prefix, 'device', objectId, 'config'),
  };
}

/** Whether `topic` can be published to: no wildcard, no NUL, no empty level, short enough. */
export function isTopicName(topic: string): boolean {
  return topic !== '' && !/[+#\0\p{Cs}]|^\/|\/\/|\/$/u.test(topic) && Buffer.byteLength(topic) <= MAX_BYTES;
}

function joinLevels(...levels: readonly string[]): string {
  const topic = levels.join('/');
  if (isTopicName(topic)) return topic;
  throw new GatecastError(
    'INTERNAL',
    `${JSON.stringify(topic.slice(0, 200))} is not a valid topic for publishing`,
  );
}
