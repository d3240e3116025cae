/** All topics that gatecast publishes or subscribes to. */
import { GatecastError } from '../errors.ts';

export type Topics = Readonly<ReturnType<typeof topicsOf>>;

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
export function topicsOf(base: string, node: string) {
  const root = joinLevels(base, node);
  const requestRoot = joinLevels(root, 'request');
  const modelRoot = joinLevels(root, 'model');
  return {
    status: joinLevels(root, 'status'),
    health: joinLevels(root, 'health'),
    /** Topic to test a new connection: the agent publishes there and must receive the message. */
    trial: joinLevels(root, 'trial'),
    forecast: (stream: string) => joinLevels(root, 'forecast', stream),
    /** The median at one lead such as `1h`, as a plain number. */
    forecastAt: (stream: string, lead: string) => joinLevels(root, 'forecast', stream, 'at', lead),
    /** Read by Home Assistant's entities of the stream. */
    summary: (stream: string) => joinLevels(root, 'summary', stream),
    score: (stream: string) => joinLevels(root, 'score', stream),
    anomaly: (stream: string) => joinLevels(root, 'anomaly', stream),
    alert: (id: string) => joinLevels(root, 'alert', id),
    /** All active alerts, in one message. */
    alerts: joinLevels(root, 'alerts'),
    model: (group: string) => joinLevels(modelRoot, group),
    configDesired: joinLevels(root, 'config', 'desired'),
    configReported: joinLevels(root, 'config', 'reported'),
    fleetConfigDesired: (group: string) => joinLevels(base, 'fleet', group, 'config', 'desired'),
    /** Filter for all chunks of pushed models. */
    modelChunks: `${modelRoot}/+/chunk/+`,
    modelChunk: (name: string, number: number) => joinLevels(modelRoot, name, 'chunk', String(number)),
    /** Name and number in a chunk's topic; null for other topics. */
    chunkOf: (topic: string): { readonly name: string; readonly number: number } | null => {
      if (!topic.startsWith(`${modelRoot}/`)) return null;
      const found = /^([^/]+)\/chunk\/(0|[1-9]\d{0,5})$/.exec(topic.slice(modelRoot.length + 1));
      return found === null ? null : { name: found[1] ?? '', number: Number(found[2]) };
    },
    modelHave: (name: string) => joinLevels(modelRoot, name, 'have'),
    /** Filter for requests with any verb. */
    requests: `${requestRoot}/+`,
    request: (verb: string) => joinLevels(requestRoot, verb),
    /** The verb in a request's topic; null for other topics. */
    requestVerb: (topic: string): string | null => {
      if (!topic.startsWith(`${requestRoot}/`)) return null;
      const verb = topic.slice(requestRoot.length + 1);
      return verb === '' || verb.includes('/') ? null : verb;
    },
    response: (verb: string) => joinLevels(root, 'response', verb),
  };
}

/** Home Assistant's topics; `prefix` is default `homeassistant`. Throws as `topicsOf`. */
export function homeAssistantTopics(prefix: string) {
  return {
    status: joinLevels(prefix, 'status'),
    device: (objectId: string) => joinLevels(prefix, 'device', objectId, 'config'),
  };
}

/** Whether `topic` can be published to: no wildcard, no NUL, no empty level, short enough. */
export function isTopicName(topic: string): boolean {
  return topic !== '' && !/[+#\0\p{Cs}]|^\/|\/\/|\/$/u.test(topic) && Buffer.byteLength(topic) <= MAX_BYTES;
}

function joinLevels(...levels: readonly string[]): string {
  const topic = levels.join('/');
  if (isTopicName(topic)) return topic;
  const shown = JSON.stringify(topic.slice(0, 200));
  throw new GatecastError('INTERNAL', `${shown} is not a valid topic for publishing`);
}
