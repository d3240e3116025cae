/**
 * Recognises outputs of other gatecast agents under any `base`: first by the form of the topic and the message, then by
 * the prefix `<base>/<node>` of a recognised message.
 */
import type { Message } from './message.ts';

/** `<base>/<node>/`, which a bridge may remove, and the kind of an output. */
const OUTPUT =
  /^(?:(.+?)\/)?(forecast|summary|score|anomaly|alerts?|model|status|health|config|response|request)(?:\/|$)/;
/** A median as a plain number, recognised by its topic alone. */
const PLAIN = /(?:^|\/)forecast\/.+\/at\/\d+(?:\.\d+)?(?:ms|s|m|h|d|w)$/;
/** An agent's announcement to Home Assistant, under any prefix, as a bridge adds. */
const ANNOUNCEMENT = /(?:^|\/)device\/gatecast_[^/]+\/config$/;
/**
 * Entities of an agent that Home Assistant publishes again (MQTT Statestream): `gatecast_<node>_alerts`, and
 * `<device>_forecast_<stream>_in_1h`, as those of weather services may be named, too.
 */
const ECHO =
  /^(.+)\/(?:binary_)?sensor\/(?:(gatecast_\w+)|(?:\w+_)?forecast_(?:\w+_)?(?:next|in_(?:the_next_)?\d[\da-z]*|anomaly))\/state$/;
/** Members in all messages of a kind. Other kinds are recognised only by their prefix. */
const FORMS: Readonly<Record<string, readonly string[]>> = {
  forecast: ['stream', 'issued', 'origin', 'step_s'],
  summary: ['state', 'origin', 'median', 'range', 'anomaly'],
  score: ['stream', 'by_lead'],
  anomaly: ['time', 'observed', 'p50', 'low', 'high'],
  status: ['state', 'session', 'since', 'version'],
  health: ['state', 'degraded', 'streams', 'dropped'],
};
const MAX_AGENTS = 1000;
/** Longer topics are of no agent; the search in them would take too long. */
const LONGEST_TOPIC = 1000;

export class OtherAgents {
  /** `<base>/<node>` of recognised agents. */
  private readonly prefixes = new Set<string>();
  /** Prefixes of Statestream under which entities of an agent itself were heard. */
  private readonly echoes = new Set<string>();

  /** Whether messages of a topic must be checked; decided once per topic. */
  static mayBe(topic: string): boolean {
    return topic.length <= LONGEST_TOPIC && (OUTPUT.test(topic) || ECHO.test(topic));
  }

  /** Whether a message on a topic that `mayBe` is the output of another agent. */
  sent(message: Message): boolean {
    const { topic } = message;
    const echo = ECHO.exec(topic);
    if (echo !== null) {
      const [, prefix = '', own] = echo;
      if (own !== undefined && this.echoes.size < MAX_AGENTS) this.echoes.add(prefix);
      return own !== undefined || this.echoes.has(prefix);
    }
    const found = OUTPUT.exec(topic);
    if (found === null) return false;
    const [, prefix = '', kind = ''] = found;
    if (this.prefixes.has(prefix) || PLAIN.test(topic) || ANNOUNCEMENT.test(topic)) return true;
    const members = FORMS[kind];
    if (members === undefined || message.payload[0] !== 0x7b) return false;
    const json = message.peek();
    if (typeof json !== 'object' || json === null || !members.every((member) => Object.hasOwn(json, member)))
      return false;
    if (prefix !== '' && this.prefixes.size < MAX_AGENTS) this.prefixes.add(prefix);
    return true;
  }
}
