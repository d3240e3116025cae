/** A site on a real nats-server for tests: what bridges write, what is published, and what an undisturbed process would publish. */
import type { NatsConnection } from '@nats-io/transport-node';
import type { Forecast } from '../../src/forecast/forecast.ts';
import type { Model } from '../../src/forecast/model.ts';
import { ForecastText } from '../../src/outputs/json/forecast-text.ts';
import { digitsOf } from '../../src/outputs/json/messages.ts';
import type { Sample } from '../../src/series/sample.ts';
import type { StreamSpec } from '../../src/series/spec.ts';
import { decodeBatch, encodeBatch } from '../../src/site/batch.ts';
import { inputStream, inputSubject, partitionOf } from '../../src/site/names.ts';
import { createSite, type Site, type SiteConfig } from '../../src/site/nats.ts';
import { type OpenModel, Partition } from '../../src/site/partition.ts';
import { uniform } from './random.ts';
import { testSpec } from './specs.ts';
import { waitFor } from './wait.ts';

export const siteConfig = (servers: readonly string[], change: Partial<SiteConfig> = {}): SiteConfig => ({
  name: 'plant',
  servers: [...servers],
  role: ['bridge', 'worker'],
  batch: 20,
  checkpoint: 1000,
  publish: 'nats',
  ...change,
});

export interface TestSiteOptions {
  readonly partitions?: number;
  readonly ttlMs?: number;
  readonly replicas?: number;
}

export async function makeSite(
  servers: readonly string[],
  { partitions = 4, ttlMs = 2000, replicas = 1 }: TestSiteOptions = {},
  name = 'plant',
): Promise<SiteConfig> {
  const config = siteConfig(servers, { name });
  await createSite(config, { partitions, ttlMs, replicas, retentionMs: 3_600_000, maxBytes: 0 });
  return config;
}

export const MODEL_NAME = { id: 'fake', version: '1' };

type TextOf = (forecast: Forecast, issuedMs: number, model: Model | null) => string | null;

/** The text of a forecast as workers make it. */
export const textOf =
  (model = MODEL_NAME) =>
  (forecast: Forecast, issuedMs: number): string | null =>
    new ForecastText().of(
      forecast,
      { quantiles: [0.1, 0.5, 0.9], digits: digitsOf(forecast), issuedMs, model },
      Number.POSITIVE_INFINITY,
    );

/** Greatest age of a reading of `Feed`, ms. */
const SPREAD_MS = 100;

/** Plays a bridge: readings of all streams, every 200 ms of real time, and a beat for partitions without any. */
export class Feed {
  sent = 0;
  private writtenMs = 0;
  private timer: NodeJS.Timeout | null = null;
  private readonly next = uniform(7);
  private readonly announced = new Set<string>();
  private busy: Promise<void> = Promise.resolve();

  constructor(
    private readonly site: Pick<Site, 'js' | 'name' | 'partitions'>,
    private readonly specs: readonly StreamSpec[],
  ) {}

  start(): void {
    this.timer = setInterval(() => {
      this.busy = this.busy.then(() => this.write(true));
    }, 200);
  }

  /** No more readings; time goes on until everything is closed. */
  async finish(): Promise<void> {
    if (this.timer !== null) clearInterval(this.timer);
    await this.busy;
    for (let i = 0; i < 6; i++) {
      await this.write(false);
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }

  private async write(readings: boolean): Promise<void> {
    const { site } = this;
    const nowMs = Date.now();
    // On a busy machine several turns come at once: two readings of a stream must not have one time.
    if (readings && nowMs - this.writtenMs < SPREAD_MS) return;
    this.writtenMs = nowMs;
    const parts = Array.from({ length: site.partitions }, () => ({
      samples: [] as Sample[],
      specs: [] as StreamSpec[],
    }));
    for (const spec of readings ? this.specs : []) {
      if (this.next() < 0.3) continue;
      const part = parts[partitionOf(spec.name, site.partitions)];
      if (!this.announced.has(spec.name)) part.specs.push(spec);
      this.announced.add(spec.name);
      const timeMs = nowMs - Math.floor(this.next() * SPREAD_MS);
      part.samples.push({ stream: spec.name, timeMs, value: 20 + this.next(), arrivalMs: nowMs });
    }
    for (const [partition, { samples, specs }] of parts.entries()) {
      const text = encodeBatch({ bridge: 'feed', untilMs: nowMs - 150, specs, samples });
      await this.until(() => site.js.publish(inputSubject(site.name, partition), text));
      this.sent += samples.length;
    }
  }

  /** As a bridge does: again until JetStream has it. */
  private async until(publish: () => Promise<unknown>): Promise<void> {
    for (;;) {
      try {
        await publish();
        return;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
    }
  }
}

export const streamSpecs = (count: number): StreamSpec[] =>
  Array.from({ length: count }, (_, at) =>
    testSpec(`line${at % 3}/sensor ${at}`, { intervalMs: 1000, latenessMs: 200, horizonMs: 5000 }),
  );

export interface Published {
  readonly stream: string;
  readonly epoch: number;
  /** The message without its epoch. */
  readonly text: string;
  readonly subject: string;
}

/** All forecasts that are published from now on. */
export function listen(nc: NatsConnection, site = 'plant'): Published[] {
  const seen: Published[] = [];
  nc.subscribe(`gatecast.${site}.forecast.>`, {
    callback: (error, message) => {
      if (error !== null) return;
      const text = message.string();
      const { stream, epoch } = JSON.parse(text) as { stream: string; epoch: number };
      seen.push({ stream, epoch, text: text.replace(`,"epoch":${epoch}}`, '}'), subject: message.subject });
    },
  });
  return seen;
}

export interface Undisturbed {
  /** What it publishes. */
  readonly texts: string[];
  /** Readings in the logs, each once however often it was sent. */
  readonly readings: number;
  /** Readings that came too late when they came for the first time. */
  readonly late: string[];
}

const keyOf = ({ stream, timeMs }: Sample): string => `${stream} ${timeMs}`;

type Logs = Pick<Site, 'js' | 'jsm' | 'name' | 'partitions'>;

/** The messages that the log of a partition has now. @param fromSeq earlier ones are left out */
async function* messagesOf({ js, jsm, name }: Logs, partition: number, fromSeq = 1) {
  const log = inputStream(name, partition);
  const { state } = await jsm.streams.info(log);
  const count = Math.min(state.messages, state.last_seq - fromSeq + 1);
  if (count <= 0) return;
  const consumer = await js.consumers.get(log, { opt_start_seq: fromSeq });
  for await (const message of await consumer.fetch({ max_messages: count, expires: 10_000 })) {
    yield message;
    if (message.seq === state.last_seq) return;
  }
}

/** Counts the readings in the logs, each once however often it was sent. */
export class LoggedReadings {
  private readonly known = new Set<string>();
  /** The first message of each partition that is not counted. */
  private readonly next: number[];

  constructor(private readonly site: Logs) {
    this.next = Array.from({ length: site.partitions }, () => 1);
  }

  /** Reads only the messages that have come since the last call. */
  async count(): Promise<number> {
    for (const at of this.next.keys())
      for await (const { seq, data } of messagesOf(this.site, at, this.next[at])) {
        for (const sample of decodeBatch(data).samples) this.known.add(keyOf(sample));
        this.next[at] = seq + 1;
      }
    return this.known.size;
  }
}

/** What one process that reads all logs from their beginning publishes. */
export async function undisturbed(
  site: Logs,
  model: Model | null,
  text: TextOf = textOf(),
  openModel?: OpenModel,
): Promise<Undisturbed> {
  const texts: string[] = [];
  const late: string[] = [];
  const known = new Set<string>();
  for (let at = 0; at < site.partitions; at++) {
    const partition = new Partition(model, {
      ...(openModel !== undefined && { openModel }),
      isOwn: (stream) => partitionOf(stream, site.partitions) === at,
    });
    // Takes each reading once, so that none is late because it was sent twice.
    const once = new Partition(null);
    const taken = new Set<string>();
    for await (const message of messagesOf(site, at)) {
      const batch = decodeBatch(message.data);
      const fresh = batch.samples.filter((sample) => !taken.has(keyOf(sample)));
      for (const sample of fresh) {
        taken.add(keyOf(sample));
        known.add(keyOf(sample));
      }
      const before = once.refused.late ?? 0;
      const loggedMs = Math.floor(message.info.timestampNanos / 1e6);
      for (const forecast of await partition.take(message.seq, loggedMs, batch)) {
        const made = text(forecast, partition.tickMs, partition.model);
        if (made !== null) texts.push(made);
      }
      if (batch.model === undefined) await once.take(message.seq, loggedMs, { ...batch, samples: fresh });
      if ((once.refused.late ?? 0) > before)
        late.push(
          `${new Date(loggedMs).toISOString()} in ${at}, seq ${message.seq}: ${JSON.stringify(batch.samples.map((one) => [one.stream, new Date(one.timeMs), one.arrivalMs - one.timeMs]))}`,
        );
    }
  }
  return { texts, readings: known.size, late };
}

const issuedOf = (text: string): number => Date.parse(/"issued":"([^"]*)"/.exec(text)?.[1] ?? '');

/**
 * A time in which a server was away, ms: messages that were not kept may have been lost on its way, or were sent again. `newest`: when
 * the newest forecast of each stream was issued that had been seen at its beginning; later ones may have been lost, however late a
 * worker on a busy machine published them.
 */
export type Outage = readonly [fromMs: number, toMs: number, newest?: ReadonlyMap<string, number>];

/** When the newest forecast of each stream was issued, ms. */
export function newestSeen(seen: readonly Published[]): Map<string, number> {
  const newest = new Map<string, number>();
  for (const { stream, text } of seen) newest.set(stream, Math.max(newest.get(stream) ?? 0, issuedOf(text)));
  return newest;
}

/** Whether a violation is a forecast that was lost on its way, or sent again on another connection, in one of these times. */
export function isExcused(violation: string, outages: readonly Outage[]): boolean {
  const [, kind] = /^(never published|sent twice)/.exec(violation) ?? [];
  if (kind === undefined) return false;
  const issuedMs = issuedOf(violation);
  const stream = /"stream":"([^"]*)"/.exec(violation)?.[1] ?? '';
  return outages.some(([fromMs, toMs, newest]) => {
    const seenMs = kind === 'never published' ? newest?.get(stream) : undefined;
    return (seenMs === undefined ? issuedMs >= fromMs : issuedMs > seenMs) && issuedMs <= toMs;
  });
}

/**
 * What violates the promises of a site to a reader that follows the documented rule: it ignores a forecast whose epoch is lower
 * than one that it has seen for the same stream. A new owner repeats at most the forecasts that the former one published last.
 * Empty: nothing does.
 */
export function violations(seen: readonly Published[], expected: readonly string[]): string[] {
  const found: string[] = [];
  const wanted = new Set(expected);
  const epochs = new Map<string, Set<number>>();
  const highest = new Map<string, number>();
  /** When the newest forecast of a stream in an epoch was made, ms. */
  const newest = new Map<string, number>();
  const inEpoch = (stream: string, epoch: number): string => `${epoch} ${stream}`;
  for (const { stream, epoch, text } of seen) {
    const key = inEpoch(stream, epoch);
    newest.set(key, Math.max(newest.get(key) ?? 0, issuedOf(text)));
  }
  for (const { stream, epoch, text } of seen) {
    const short = text.slice(0, 200);
    if (!wanted.has(text)) found.push(`differs from the undisturbed run: ${short}`);
    const before = epochs.get(text) ?? new Set();
    epochs.set(text, before);
    if (before.has(epoch)) found.push(`sent twice in epoch ${epoch}: ${short}`);
    for (const other of before)
      if (other < epoch && issuedOf(text) < (newest.get(inEpoch(stream, other)) ?? 0))
        found.push(`published again in epoch ${epoch}, although epoch ${other} had gone on: ${short}`);
    before.add(epoch);
    const top = highest.get(stream) ?? 0;
    if (epoch < top && !before.has(top)) found.push(`epoch ${epoch} after epoch ${top}: ${short}`);
    highest.set(stream, Math.max(top, epoch));
  }
  for (const text of expected) if (!epochs.has(text)) found.push(`never published: ${text.slice(0, 200)}`);
  return found;
}

export interface VerdictOptions {
  readonly text?: TextOf;
  readonly openModel?: OpenModel;
  /** Nothing waits for a forecast that may have been lost in one of these. */
  readonly outages?: readonly Outage[];
}

/** Waits until all is published that an undisturbed process would have published, then compares. */
export async function verdict(
  site: Site,
  seen: readonly Published[],
  model: Model | null,
  { text, openModel, outages = [] }: VerdictOptions = {},
): Promise<Undisturbed & { readonly violations: string[] }> {
  const made = await undisturbed(site, model, text, openModel);
  const missing = new Set(made.texts.filter((one) => !isExcused(`never published: ${one}`, outages)));
  let from = 0;
  const isAllHere = (): boolean => {
    for (; from < seen.length; from++) missing.delete(seen[from].text);
    return missing.size === 0;
  };
  // What never comes is one of the violations.
  await waitFor('all forecasts', isAllHere, 60_000).catch(() => {});
  return { ...made, violations: violations(seen, made.texts) };
}
