/** The state of a site for operators: its partitions, their owners, and its members. Read-only. */
import { errorText, GatecastError } from '../errors.ts';
import { type ModelRecord, readRecord } from './models.ts';
import {
  drainKey,
  inputStream,
  lastSubject,
  memberKey,
  memberOf,
  partitionKey,
  partitionOf,
  type Role,
  TUNING_KEY,
  tuneSubject,
} from './names.ts';
import { entryValue, keysOf, removeKey, type Site } from './nats.ts';
import { workers } from './set-model.ts';
import type { MemberEntry } from './worker.ts';

export interface PartitionStatus {
  readonly partition: number;
  /** Null: no member owns it. */
  readonly owner: string | null;
  readonly epoch: number;
  readonly streams: number | null;
  /** Number of the model that forecasts; 0: that of the config; null: not known. */
  readonly model: number | null;
  /** Messages that the owner has not taken yet, as it last said; null: not known. */
  readonly lag: number | null;
  /** Messages and bytes in the log. */
  readonly messages: number;
  readonly bytes: number;
  readonly lastSeq: number;
  /** ISO 8601; null: there is no checkpoint. */
  readonly checkpoint: string | null;
  /** Messages of the log that came after it. */
  readonly sinceCheckpoint: number;
  /** Why the log cannot be read; null: it can. */
  readonly fault: string | null;
}

export interface MemberStatus {
  readonly member: string;
  readonly role: Role;
  readonly version: string;
  readonly partitions: number;
  readonly streams: number;
  readonly lag: number;
  readonly draining: boolean;
  /** Name of the model that it would use for a partition; empty for a bridge. */
  readonly model: string;
}

export async function readMembers(site: Site): Promise<MemberStatus[]> {
  const drained = new Set(await keysOf(site, 'state', drainKey('*')));
  const keys = await keysOf(site, 'members');
  const found = await Promise.all(
    keys.map(async (key): Promise<MemberStatus[]> => {
      const entry = entryValue<Partial<MemberEntry>>(await site.members.get(key));
      // It has just left.
      if (entry === null) return [];
      const { version = '', model = '', partitions = [] } = entry;
      const member = memberOf(key);
      const role: Role = key === memberKey('bridge', member) ? 'bridge' : 'worker';
      return [
        {
          member,
          role,
          version,
          partitions: partitions.length,
          streams: partitions.reduce((sum, { streams }) => sum + streams, 0),
          lag: partitions.reduce((sum, { lag }) => sum + lag, 0),
          draining: role === 'worker' && drained.has(drainKey(member)),
          model,
        },
      ];
    }),
  );
  return found.flat();
}

export async function readPartitions(site: Site): Promise<PartitionStatus[]> {
  const said = new Map<number, MemberEntry['partitions'][number]>();
  for (const { partitions } of (await workers(site)).values())
    for (const one of partitions)
      if (one.epoch >= (said.get(one.partition)?.epoch ?? 0)) said.set(one.partition, one);
  const statuses: PartitionStatus[] = [];
  for (let partition = 0; partition < site.partitions; partition++) {
    const key = partitionKey(partition);
    const [lease, record, log] = await Promise.all([
      site.leases.get(key),
      site.state.get(key),
      readLog(site, partition),
    ]);
    const owner = entryValue<{ owner: string }>(lease)?.owner ?? null;
    const manifest = entryValue<{ epoch: number; seq: number; savedMs: number }>(record);
    const state = owner === null ? undefined : said.get(partition);
    const { seq = 0, savedMs = 0, epoch = 0 } = manifest ?? {};
    statuses.push({
      partition,
      owner,
      epoch,
      streams: state?.streams ?? null,
      model: state?.model ?? null,
      lag: state?.lag ?? null,
      ...log,
      checkpoint: savedMs === 0 ? null : new Date(savedMs).toISOString(),
      sinceCheckpoint: Math.max(0, log.lastSeq - seq),
    });
  }
  return statuses;
}

async function readLog(
  site: Site,
  partition: number,
): Promise<Pick<PartitionStatus, 'messages' | 'bytes' | 'lastSeq' | 'fault'>> {
  try {
    const { state } = await site.jsm.streams.info(inputStream(site.name, partition));
    return { messages: state.messages, bytes: state.bytes, lastSeq: state.last_seq, fault: null };
  } catch (error) {
    return { messages: 0, bytes: 0, lastSeq: 0, fault: errorText(error) };
  }
}

/** @throws GatecastError STREAM_UNKNOWN, SITE_FAILED when its partition has no owner, or the stream no forecast yet */
export async function newestForecast(site: Site, stream: string): Promise<string> {
  const partition = partitionOf(stream, site.partitions);
  let text: string;
  try {
    text = (await site.nc.request(lastSubject(site.name, partition), stream, { timeout: 3000 })).string();
  } catch (cause) {
    throw new GatecastError('SITE_FAILED', `Nobody answers for partition ${partition}: ${errorText(cause)}`, {
      hint: '`gatecast site status` shows the owners.',
      cause,
    });
  }
  const { error } = JSON.parse(text) as { error?: string };
  if (error === undefined) return text;
  const code = error === 'unknown stream' ? 'STREAM_UNKNOWN' : 'SITE_FAILED';
  throw new GatecastError(code, `${stream}: ${error}.`);
}

/** The answer of the worker that fine-tunes. */
export interface TuneAnswer {
  readonly member: string;
  readonly status: 'started' | 'waiting' | 'refused';
  readonly reason: string;
}

/** @throws GatecastError SITE_FAILED when no worker fine-tunes, or it refuses */
export async function requestTuning({ nc, name }: Pick<Site, 'nc' | 'name'>): Promise<TuneAnswer> {
  let answer: TuneAnswer;
  try {
    answer = (await nc.request(tuneSubject(name), '', { timeout: 10_000 })).json();
  } catch (cause) {
    throw new GatecastError('SITE_FAILED', `No worker answers: ${errorText(cause)}`, {
      hint: 'A worker fine-tunes if its config has `finetune.enabled`, and the rights of deploy/site/nats-server.conf.',
      cause,
    });
  }
  if (answer.status === 'refused')
    throw new GatecastError('SITE_FAILED', `${answer.member} does not fine-tune: ${answer.reason}.`);
  return answer;
}

/** What `gatecast site model show` prints. */
export interface SiteModelStatus {
  /** Null: the site was never given a model. */
  readonly record: ModelRecord | null;
  /** The worker that fine-tunes and watches models; null: none does. */
  readonly tuner: string | null;
  readonly tuning: {
    readonly last: { readonly status: string; readonly reason: string };
    readonly probation: { readonly elapsedMs: number; readonly lengthMs: number } | null;
  };
}

export async function readSiteModel(site: Site): Promise<SiteModelStatus> {
  const [{ record }, lease, state] = await Promise.all([
    readRecord(site),
    site.leases.get(TUNING_KEY),
    site.state.get(TUNING_KEY),
  ]);
  const { last = { status: 'never', reason: '' }, probation = null } =
    entryValue<Partial<SiteModelStatus['tuning']>>(state) ?? {};
  return {
    record,
    tuner: entryValue<{ owner: string }>(lease)?.owner ?? null,
    tuning: { last, probation },
  };
}

/** A drained worker gives its partitions to the others, and gets none until `drained` is false. */
export async function setDrained(site: Site, member: string, drained: boolean): Promise<void> {
  if (drained) await site.state.put(drainKey(member), new Date().toISOString());
  else await removeKey(site, 'state', drainKey(member));
}
