/**
 * A member of the site that forecasts. It announces itself, computes from the list of members which partitions should be its own,
 * takes a lease for each that nobody owns, and gives back those that should be another member's. A lease that is not renewed
 * expires on the server; the clocks of the members do not matter.
 */
import { errorFields } from '../errors.ts';
import { pause } from '../system/clock.ts';
import { assignPartitions } from './assignment.ts';
import { type ModelRecord, type OpenFiles, readRecord, SiteModels } from './models.ts';
import { drainKey, memberKey, memberOf, partitionKey } from './names.ts';
import { entryValue, isConflict, keysOf, removeCheckpoint, removeKey } from './nats.ts';
import {
  add,
  noCounts,
  OwnedPartition,
  type OwnedPartitionParts,
  type PartitionCounts,
  type PartitionState,
} from './owned-partition.ts';
import { type MemoryLimits, PartitionShares } from './partition.ts';
import { Turns } from './turns.ts';

/** What a worker shares with each of its partitions, and what it needs itself. */
export interface WorkerParts
  extends Omit<OwnedPartitionParts, 'partition' | 'owner' | 'breathe' | 'loads' | 'shares' | 'models'> {
  /** Checks and loads the files of a model. */
  readonly openFiles: OpenFiles;
  readonly member: string;
  /** Unique for each run. */
  readonly session: string;
  readonly version: string;
  readonly memory: MemoryLimits;
  readonly tunes?: () => boolean;
}

/** The entry that a worker announces and keeps renewing. */
export interface MemberEntry {
  readonly session: string;
  readonly version: string;
  readonly model: string;
  readonly draining: boolean;
  /** Whether it may fine-tune the model of the site. */
  readonly tunes?: boolean;
  readonly partitions: readonly PartitionState[];
  /** The newest model of the site, as far as this worker has checked it; absent: the site has that of the config. */
  readonly check?: { readonly id: string; readonly ready: boolean; readonly fault: string | null };
}

interface Lease {
  readonly owned: OwnedPartition;
  revision: number;
  releasing: boolean;
}

/** Partitions taken in one round, and loaded at a time; others wait for the next. */
const TAKEN_AT_ONCE = 128;
const LOADED_AT_ONCE = 4;
/** A partition that failed is not taken again for this long, ms. */
const PAUSE_MS = 5000;
/** A partition without an owner for this many lives of an entry is an alert. */
const UNOWNED_TTLS = 2;
/** Messages in a log that a worker is behind, and for how long, before it is an alert. */
const LAG_MESSAGES = 100;
const LAG_MS = 30_000;
/** Checkpoints that nothing refers to are looked for this long after the start, and then at this interval, ms. */
const FIRST_ORPHANS_MS = 60_000;
const ORPHANS_MS = 3_600_000;
/** Time that a stop may spend on saving checkpoints, ms. */
const END_MS = 1500;

export class SiteWorker {
  private readonly leases = new Map<number, Lease>();
  private readonly pausedUntil = new Map<number, number>();
  private readonly unownedSince = new Map<number, number>();
  private readonly laggingSince = new Map<number, number>();
  /** Counts of partitions that this member no longer owns. */
  private readonly past = noCounts();
  private former: readonly string[] = [];
  /** Partitions that this member should own. */
  private mine: ReadonlySet<number> = new Set();
  private members: readonly string[] = [];
  isDraining = false;
  /** Revision of this member's entry as it last wrote it. */
  private announced = 0;
  private hasTwin = false;
  private orphansMs: number;
  private stopped = false;
  private readonly faults = new Map<number, string>();
  private readonly loads = new Turns(LOADED_AT_ONCE);
  private readonly shares: PartitionShares;
  private readonly models: SiteModels;
  private newest: ModelRecord | null = null;

  constructor(private readonly parts: WorkerParts) {
    this.shares = new PartitionShares(parts.memory);
    this.models = new SiteModels(parts.site.models, parts.openFiles);
    this.orphansMs = parts.clock.monotonic() + FIRST_ORPHANS_MS;
  }

  states(): PartitionState[] {
    return [...this.leases.values()].map(({ owned }) => owned.state);
  }

  counts(): PartitionCounts {
    const total = noCounts();
    for (const one of [this.past, ...[...this.leases.values()].map(({ owned }) => owned.counts)])
      add(total, one);
    return total;
  }

  /** What an owner should know; empty when all is well. */
  problems(): string[] {
    const nowMs = this.parts.clock.monotonic();
    const { ttlMs } = this.parts.site;
    const unowned = [...this.unownedSince]
      .filter(([, since]) => nowMs - since >= UNOWNED_TTLS * ttlMs)
      .map(([partition]) => partition);
    const behind = [...this.laggingSince]
      .filter(([, since]) => nowMs - since >= LAG_MS)
      .map(([partition]) => partition);
    return [
      ...(this.hasTwin ? [`two workers have the name ${this.parts.member}: \`node\` must be unique`] : []),
      ...(unowned.length > 0 ? [`no member owns ${listed(unowned)}`] : []),
      ...(behind.length > 0 ? [`the forecasts of ${listed(behind)} are behind the readings`] : []),
      ...this.failing()
        .slice(0, 3)
        .map(([partition, fault]) => `partition ${partition} failed: ${fault}`),
    ];
  }

  private failing(): [number, string][] {
    const now = [...this.leases].flatMap(([partition, { owned }]): [number, string][] =>
      owned.fault === null ? [] : [[partition, owned.fault]],
    );
    return [...this.faults, ...now];
  }

  /** One round; call it every quarter of `site.ttlMs`. Rejects when the server does not answer. */
  async round(): Promise<void> {
    const { site, member, clock } = this.parts;
    await this.checkModel();
    await this.announce();
    await Promise.all([...this.leases].map(([partition, lease]) => this.renew(partition, lease)));
    const present = (await keysOf(site, 'members', memberKey('worker', '*'))).map(memberOf);
    const drained = new Set(await keysOf(site, 'state', drainKey('*')));
    this.isDraining = drained.has(drainKey(member));
    this.members = present.filter((one) => !drained.has(drainKey(one)));
    const wanted = assignPartitions(this.members, site.partitions);
    // A member that is missing once may be back in the next round.
    const settled = this.members.join() === this.former.join() || this.former.length === 0;
    this.former = this.members;
    this.mine = new Set(wanted.flatMap((owner, partition) => (owner === member ? [partition] : [])));
    if (settled) this.giveBack();
    await this.takeFree();
    await this.lookAround(clock.monotonic());
    this.removeOrphans().catch((error) => {
      if (!this.stopped) this.parts.log.warn('old checkpoints not removed', { ...errorFields(error) });
    });
  }

  /** Gives everything back; checkpoints are saved for as long as there is time. */
  async stop(): Promise<void> {
    const { site, member, clock } = this.parts;
    this.stopped = true;
    const saved = [...this.leases].map(([partition, lease]) => this.release(partition, lease));
    await Promise.race([Promise.all(saved), pause(clock, END_MS)]);
    await removeKey(site, 'members', memberKey('worker', member)).catch(() => {});
  }

  /** The connection is gone for good: nothing can be saved. */
  abandon(): void {
    this.stopped = true;
    for (const { owned } of this.leases.values()) void owned.release(false);
  }

  /** Opens the newest model of the site before it is in the logs, so that no partition waits for it. */
  private async checkModel(): Promise<void> {
    const { record } = await readRecord(this.parts.site);
    this.newest = record === null || record.number === 0 ? null : record;
    const used = new Set([...this.leases.values()].map(({ owned }) => owned.modelRef.id));
    if (this.newest !== null) {
      used.add(this.newest.id);
      // Its fault, if it has one, is announced.
      this.models.of(this.newest).catch(() => {});
    }
    this.models.keep(used);
  }

  /** Its version, model and partitions, for the others and for `gatecast site`. */
  private async announce(): Promise<void> {
    const { site, member, session, version, model } = this.parts;
    const { newest, models } = this;
    const entry: MemberEntry = {
      session,
      version,
      model: newest?.name ?? model?.id ?? 'naive',
      ...(newest !== null && {
        check: { id: newest.id, ready: models.isReady(newest), fault: models.fault(newest) },
      }),
      draining: this.isDraining,
      tunes: this.parts.tunes?.() === true,
      partitions: this.states(),
    };
    if (this.stopped) return;
    const key = memberKey('worker', member);
    const found = await site.members.get(key);
    // Another run has written the entry since: two workers share a name.
    this.hasTwin =
      this.announced > 0 &&
      found !== null &&
      found.revision > this.announced &&
      found.json<MemberEntry>().session !== session;
    this.announced = await site.members.put(key, JSON.stringify(entry));
  }

  /**
   * Checkpoints that a killed owner had saved but not recorded. Only of partitions that this member owns: others may be at work. Not
   * awaited: the list of them may take a minute if the server is restarted, and the leases must be renewed meanwhile.
   */
  private async removeOrphans(): Promise<void> {
    const { site, clock, log } = this.parts;
    if (clock.monotonic() < this.orphansMs) return;
    this.orphansMs = clock.monotonic() + ORPHANS_MS;
    for (const { name } of await site.checkpoints.list()) {
      const [partition = Number.NaN, epoch = Number.NaN] = name.split('.').map(Number);
      const state = this.leases.get(partition)?.owned.state;
      if (state?.ready !== true || name === state.object || !(epoch < state.epoch)) continue;
      await removeCheckpoint(site, name);
      log.info('old checkpoint removed', { name });
    }
  }

  private async renew(partition: number, lease: Lease): Promise<void> {
    const { site, session, member } = this.parts;
    const key = partitionKey(partition);
    const value = JSON.stringify({ owner: member, session });
    try {
      lease.revision = await site.leases.update(key, value, lease.revision);
    } catch (error) {
      if (!isConflict(error)) throw error;
      await this.regain(partition, lease, key, value);
    }
  }

  /** The lease expired, or the answer was lost: takes it again unless another member holds it. The manifest guards the published forecasts. */
  private async regain(partition: number, lease: Lease, key: string, value: string): Promise<void> {
    const { site, session, log } = this.parts;
    const entry = await site.leases.get(key);
    const holder = entryValue<{ session?: unknown }>(entry);
    try {
      if (entry !== null && holder?.session === session)
        lease.revision = await site.leases.update(key, value, entry.revision);
      else if (holder === null) lease.revision = await site.leases.create(key, value);
      else throw new Lost();
    } catch (error) {
      if (!isConflict(error) && !(error instanceof Lost)) throw error;
      log.warn('lease lost', { partition });
      lease.releasing = true;
      void lease.owned.release(false);
    }
  }

  /** Releases one partition at a time, so that the others are served meanwhile. */
  private giveBack(): void {
    const going = [...this.leases.values()].filter(({ releasing }) => releasing).length;
    if (going > 0) return;
    for (const [partition, lease] of this.leases) {
      if (this.mine.has(partition)) continue;
      void this.release(partition, lease).then(() => {
        if (!this.stopped) this.giveBack();
      });
      return;
    }
  }

  private async release(partition: number, lease: Lease): Promise<void> {
    const { site, log } = this.parts;
    lease.releasing = true;
    await lease.owned.release(true);
    await removeKey(site, 'leases', partitionKey(partition), lease.revision).catch((error) =>
      log.warn('lease not given back', { partition, ...errorFields(error) }),
    );
    log.info('partition released', { partition });
  }

  private async takeFree(): Promise<void> {
    if (this.stopped) return;
    const nowMs = this.parts.clock.monotonic();
    const free = [...this.mine]
      .filter((partition) => !this.leases.has(partition) && !(nowMs < (this.pausedUntil.get(partition) ?? 0)))
      .slice(0, TAKEN_AT_ONCE);
    await Promise.all(free.map((partition) => this.take(partition)));
  }

  private async take(partition: number): Promise<void> {
    const { site, member, session } = this.parts;
    let revision: number;
    try {
      revision = await site.leases.create(
        partitionKey(partition),
        JSON.stringify({ owner: member, session }),
      );
    } catch (error) {
      if (isConflict(error)) return;
      throw error;
    }
    if (this.stopped) return removeKey(site, 'leases', partitionKey(partition), revision);
    const owned = new OwnedPartition({
      ...this.parts,
      partition,
      owner: `${member}/${session}`,
      models: this.models,
      breathe: () => new Promise((resolve) => setImmediate(resolve)),
      loads: this.loads,
      shares: this.shares,
    });
    const lease: Lease = { owned, revision, releasing: false };
    this.leases.set(partition, lease);
    void owned.done.then(() => this.ended(partition, lease));
  }

  private ended(partition: number, lease: Lease): void {
    const { clock, site } = this.parts;
    this.leases.delete(partition);
    this.laggingSince.delete(partition);
    add(this.past, lease.owned.counts);
    const { fault, lost } = lease.owned;
    if (fault === null) this.faults.delete(partition);
    else this.faults.set(partition, fault);
    if (fault !== null || lost) {
      this.pausedUntil.set(partition, clock.monotonic() + PAUSE_MS);
      void removeKey(site, 'leases', partitionKey(partition), lease.revision).catch(() => {});
    }
  }

  private async lookAround(nowMs: number): Promise<void> {
    const { site } = this.parts;
    const states = this.states();
    // Streams of a partition that is being loaded have been added to the count.
    if (states.every(({ ready }) => ready))
      this.shares.count(states.reduce((sum, { streams }) => sum + streams, 0));
    const owned = new Set(await keysOf(site, 'leases'));
    for (let partition = 0; partition < site.partitions; partition++) {
      if (owned.has(partitionKey(partition))) this.unownedSince.delete(partition);
      else if (!this.unownedSince.has(partition)) this.unownedSince.set(partition, nowMs);
    }
    for (const [partition, { owned: one }] of this.leases) {
      if (one.state.ready) this.faults.delete(partition);
      if (one.state.lag < LAG_MESSAGES) this.laggingSince.delete(partition);
      else if (!this.laggingSince.has(partition)) this.laggingSince.set(partition, nowMs);
    }
  }
}

class Lost extends Error {}

const listed = (partitions: readonly number[]): string =>
  `${partitions.length === 1 ? 'partition' : 'partitions'} ${partitions.slice(0, 8).join(', ')}${partitions.length > 8 ? ', …' : ''}`;
