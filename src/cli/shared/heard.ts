/** Applies a config to messages and collects the streams and the rejects. */
import type { Routed } from '../../ingest/router.ts';
import { clockAdvice } from '../../ingest/sender-clock.ts';
import { refusal } from '../../series/admission.ts';
import type { Sample } from '../../series/sample.ts';
import { couldBeSentinel, isSeparate } from '../../series/sentinels.ts';
import type { StreamSpec } from '../../series/spec.ts';

/** Maximum number of streams and of rejects: a hostile broker must not fill the memory. */
const MAX_KEPT = 10_000;

export interface HeardStream {
  readonly stream: string;
  readonly rule: number;
  readonly topic: string;
  unit: string | null;
  count: number;
  min: number;
  max: number;
  last: number;
  /** Readings outside `limits`. */
  outside: number;
  /** Counts of numbers such as -127 that may stand for a missing value; `low` and `high` are the range of the others. */
  readonly marks: Map<number, number>;
  low: number;
  high: number;
  /** Number of readings refused because of their time, and the last of them. */
  wrongTime: number;
  wrong: Pick<Sample, 'timeMs' | 'arrivalMs'> | null;
}

interface HeardReject {
  readonly topic: string;
  readonly reason: string;
  /** Detail of the first one. */
  readonly detail: string;
  count: number;
}

export class Heard {
  private readonly byStream = new Map<string, HeardStream>();
  private readonly byReject = new Map<string, HeardReject>();
  private readonly specs = new Map<string, StreamSpec>();
  messages = 0;

  add(topic: string, { samples, rejects, discovered }: Routed): void {
    this.messages += 1;
    for (const { spec, rule } of discovered) {
      if (this.byStream.size >= MAX_KEPT) break;
      this.specs.set(spec.name, spec);
      this.byStream.set(spec.name, {
        stream: spec.name,
        rule,
        topic,
        unit: spec.unit,
        count: 0,
        min: Infinity,
        max: -Infinity,
        last: 0,
        outside: 0,
        marks: new Map(),
        low: Infinity,
        high: -Infinity,
        wrongTime: 0,
        wrong: null,
      });
    }
    for (const sample of samples) {
      const { stream, value, arrivalMs } = sample;
      const timeMs = sample.timeMs ?? arrivalMs;
      const heard = this.byStream.get(stream);
      const spec = this.specs.get(stream);
      if (heard === undefined || spec === undefined) continue;
      heard.count += 1;
      heard.last = value;
      heard.min = Math.min(heard.min, value);
      heard.max = Math.max(heard.max, value);
      if (couldBeSentinel(value)) heard.marks.set(value, (heard.marks.get(value) ?? 0) + 1);
      else {
        heard.low = Math.min(heard.low, value);
        heard.high = Math.max(heard.high, value);
      }
      const reason = refusal({ ...sample, timeMs }, spec, spec.intervalMs);
      if (reason === 'out-of-range') heard.outside += 1;
      else if (reason !== null) {
        heard.wrongTime += 1;
        heard.wrong = { timeMs, arrivalMs };
      }
    }
    for (const { reason, detail } of rejects) {
      const key = `${reason} ${topic}`;
      const known = this.byReject.get(key);
      if (known !== undefined) known.count += 1;
      else if (this.byReject.size < MAX_KEPT) this.byReject.set(key, { topic, reason, detail, count: 1 });
    }
  }

  streams(): HeardStream[] {
    return [...this.byStream.values()];
  }

  /** Hints about likely mistakes in a stream's config, one line each. */
  hints(stream: HeardStream): string[] {
    const spec = this.specs.get(stream.stream);
    return [clockHint(stream), spec === undefined ? null : markHint(stream, spec)].filter(
      (hint) => hint !== null,
    );
  }

  rejects(): HeardReject[] {
    return [...this.byReject.values()];
  }
}

/** Hint about the sender's clock if all readings are refused because of their time; otherwise null. */
const clockHint = ({ count, wrongTime, wrong }: HeardStream): string | null =>
  wrong === null || wrongTime < count ? null : `every reading is refused: ${clockAdvice(wrong)}`;

/** Hint about readings within the limits that look like marks of a missing value; null if there are none. */
function markHint(
  { marks, low, high, count }: HeardStream,
  spec: Pick<StreamSpec, 'min' | 'max'>,
): string | null {
  const found = [...marks].filter(
    ([value]) =>
      isSeparate(value, low, high) && value >= (spec.min ?? -Infinity) && value <= (spec.max ?? Infinity),
  );
  if (found.length === 0) return null;
  const shown = found.map(([value, times]) => `${value} is ${times} of ${count} readings`).join(', ');
  const side =
    (found[0]?.[0] ?? 0) < low ? `min: ${(found[0]?.[0] ?? 0) + 1}` : `max: ${(found[0]?.[0] ?? 0) - 1}`;
  return `${shown}, which looks like a mark for a missing value; limits: { ${side} } excludes it`;
}
