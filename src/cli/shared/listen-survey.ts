/** Listens on a broker, read-only: applies a config's rules to the messages, and surveys topics without a rule. */
import type { Config } from '../../config/index.ts';
import type { Router } from '../../ingest/router.ts';
import type { Survey } from '../../ingest/survey.ts';
import type { BrokerOptions } from '../../mqtt/options.ts';
import type { Heard } from './heard.ts';

export interface ListenResult {
  /** Streams and rejects of the messages that a rule reads. */
  readonly heard: Heard;
  /** Survey of topics that no rule reads. */
  readonly survey: Survey;
  readonly refused: readonly string[];
  /** Messages that no rule reads, to test suggested rules on. */
  readonly recording: readonly Recorded[];
}

export interface Recorded {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly arrivalMs: number;
}

interface SurveyOptions {
  readonly options: BrokerOptions;
  readonly config: Config | null;
  readonly until: () => Promise<unknown>;
  /** Called every PROGRESS_MS. */
  readonly progress?: (messages: number, topics: number) => void;
}

const PROGRESS_MS = 250;
/** Maximum number of recorded messages. */
const MAX_RECORDED = 50_000;
const MAX_RECORDED_BYTES = 16 * 2 ** 20;

/** @throws GatecastError BROKER_UNREACHABLE, FILE_UNREADABLE */
export async function listenAndSurvey({
  options,
  config,
  until,
  progress,
}: SurveyOptions): Promise<ListenResult> {
  const [{ createRouter, reservedTopics }, { Survey }, { Heard }, { listen }, { matchPattern }] =
    await Promise.all([
      import('../../config/index.ts'),
      import('../../ingest/survey.ts'),
      import('./heard.ts'),
      import('./listen.ts'),
      import('../../ingest/pattern.ts'),
    ]);
  const router: Router | null = config === null ? null : createRouter(config);
  const reserved = reservedTopics(
    config ?? {
      base: 'gatecast',
      ignore: [],
      publish: { discovery_prefix: 'homeassistant' },
      node: '+',
      sparkplug: { enabled: true, group: 'gatecast' },
    },
  ).filter(({ unlessNamed }) => !unlessNamed);
  const survey = new Survey();
  const heard = new Heard();
  const recording: Recorded[] = [];
  let bytes = 0;
  const timer = setInterval(() => progress?.(heard.messages, survey.topicCount), PROGRESS_MS);
  try {
    const refused = await listen({
      options,
      filters: [...new Set([...(router?.filters() ?? []), '#'])],
      until,
      message: ({ topic, payload, retained }) => {
        survey.announcements.hear(topic, payload);
        const levels = topic.split('/');
        if (reserved.some(({ pattern }) => matchPattern(pattern, levels) !== null)) return;
        const arrivalMs = Date.now();
        if (router !== null && router.rulesOf(topic).length > 0) {
          heard.add(topic, router.wholeMessage(topic, payload, arrivalMs, retained));
          survey.notice(topic);
          return;
        }
        heard.messages += 1;
        survey.hear(topic, payload, arrivalMs, retained);
        bytes += payload.length;
        if (recording.length < MAX_RECORDED && bytes < MAX_RECORDED_BYTES)
          recording.push({ topic, payload, arrivalMs });
      },
    });
    return { heard, survey, refused, recording };
  } finally {
    clearInterval(timer);
  }
}
