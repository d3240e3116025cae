/** `gatecast inspect`; returns the text to print. */

import { type KnownStream, KnownStreams } from '../../agent/known-streams.ts';
import { type Config, createRouter, loadConfig } from '../../config/index.ts';
import { GatecastError } from '../../errors.ts';
import { isoOrNull, scoreMessage } from '../../outputs/json/messages.ts';
import { markNames } from '../../series/quality.ts';
import type { StreamSpec } from '../../series/spec.ts';
import { type Inspection, inspectStore } from '../../store/inspection.ts';
import { jsonText, printable } from '../shared/output.ts';
import { type Counts, type DaySummary, summarise } from './stream.ts';
import { reportText } from './text.ts';

export interface InspectRequest {
  readonly stream?: string;
  /** Path of the config file. */
  readonly config?: string;
  /** Overrides the config. */
  readonly dataDir?: string;
  readonly last: number;
  readonly days: number;
  readonly json?: boolean;
  readonly nowMs: number;
}

/** The output with `--json`. Times are ISO 8601 UTC. */
export interface StreamReport {
  readonly stream: string;
  readonly unit: string | null;
  readonly interval_s: number | null;
  /** Source of the interval: the saved state, the config, or the times of the readings. */
  readonly interval_from: 'state' | 'config' | 'readings' | null;
  readonly horizon_steps: number | null;
  readonly samples: number;
  readonly first: string | null;
  readonly last: string | null;
  readonly state: {
    /** null: saved by an older version. */
    readonly saved: string | null;
    readonly age_s: number | null;
    /** The next start replays readings from this time on. */
    readonly replay_from: string;
    readonly bytes: number;
    readonly model: string;
    readonly buckets: number | null;
  } | null;
  /** As in `<base>/<node>/score/<stream>`. */
  readonly scores: readonly Record<string, number | null>[];
  readonly marks: Counts;
  readonly rejects: Counts;
  readonly days: readonly DaySummary[];
  readonly readings: readonly {
    readonly time: string;
    readonly value: number;
    readonly marks: readonly string[];
  }[];
}

/** @throws USAGE without a data directory, STREAM_UNKNOWN, CONFIG_INVALID, FILE_UNREADABLE, STORE_FAILED, STORE_NEWER */
export function inspect(request: InspectRequest): string {
  const config = request.config === undefined ? null : loadConfig(request.config);
  const dir = request.dataDir ?? config?.data_dir;
  if (dir === undefined) {
    throw new GatecastError('USAGE', 'inspect needs the folder of the store', {
      hint: 'name the config with -c, or the folder with --data-dir',
    });
  }
  const store = inspectStore(dir);
  try {
    const names = store.streams();
    if (request.stream === undefined) {
      if (request.json === true) return jsonText(names);
      return names.length === 0
        ? `${dir} has no streams yet\n`
        : `${names.map((name) => printable(name)).join('\n')}\n`;
    }
    if (!names.includes(request.stream)) throw noSuchStream(request.stream, names, dir);
    const known = config === null ? [] : storedStreams(store, config);
    const spec = known.find(({ spec: { name } }) => name === request.stream)?.spec ?? null;
    const report = reportOf(store, request.stream, request, spec);
    return request.json === true ? jsonText(report) : printable(reportText(report, request.nowMs), '\n');
  } finally {
    store.close();
  }
}

/** Stream names in the hint. */
const SHOWN = 8;

export function noSuchStream(stream: string, names: readonly string[], dir: string): GatecastError {
  const like = names.filter((name) => name.includes(stream.split('/').at(-1) ?? stream));
  const some = (like.length > 0 ? like : names).slice(0, SHOWN).join(', ');
  const hint = names.length === 0 ? 'it has no streams yet' : `it has ${some}; gatecast inspect lists all`;
  return new GatecastError('STREAM_UNKNOWN', `${dir} has no stream ${printable(stream)}`, {
    hint: printable(hint),
  });
}

/** The stored streams that the config still reads. */
export const storedStreams = ({ getMeta }: Inspection, config: Config): KnownStream[] =>
  new KnownStreams({ getMeta, setMeta: () => {} }).restore(createRouter(config));

function reportOf(
  store: Inspection,
  stream: string,
  { last, days, nowMs }: InspectRequest,
  spec: StreamSpec | null,
): StreamReport {
  const state = store.state(stream);
  const about = state?.about ?? null;
  const given = about?.intervalMs ?? spec?.intervalMs ?? null;
  const all = summarise(() => store.samples(stream), store.rejects(stream), given, last);
  const from =
    about !== null ? 'state' : given !== null ? 'config' : all.intervalMs !== null ? 'readings' : null;
  const total = (kind: 'marks' | 'rejects'): Counts => {
    const sum: Counts = {};
    for (const day of all.days)
      for (const [name, n] of Object.entries(day[kind])) sum[name] = (sum[name] ?? 0) + n;
    return sum;
  };
  return {
    stream,
    unit: about?.unit ?? spec?.unit ?? null,
    interval_s: all.intervalMs === null ? null : all.intervalMs / 1000,
    interval_from: from,
    horizon_steps: about?.horizonSteps ?? null,
    samples: all.days.reduce((sum, { samples }) => sum + samples, 0),
    first: isoOrNull(all.firstMs),
    last: isoOrNull(all.lastMs),
    state: state && {
      saved: isoOrNull(state.savedMs),
      age_s: state.savedMs === null ? null : Math.max(0, Math.round((nowMs - state.savedMs) / 1000)),
      replay_from: new Date(state.replayFromMs).toISOString(),
      bytes: state.bytes,
      model: state.modelHash,
      buckets: about?.buckets ?? null,
    },
    scores: about === null ? [] : (scoreMessage(about.scores, 0).by_lead as StreamReport['scores']),
    marks: total('marks'),
    rejects: total('rejects'),
    days: all.days.slice(-days),
    readings: all.last.map(({ timeMs, value, mark }) => ({
      time: new Date(timeMs).toISOString(),
      value,
      marks: markNames(mark),
    })),
  };
}
