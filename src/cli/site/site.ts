/** `gatecast site`: creates a group of agents on NATS JetStream, shows it, and drains its workers. */

import { type Command, InvalidArgumentError, type Option } from 'commander';
import { parseSize } from '../../config/units.ts';
import { GatecastError } from '../../errors.ts';
import type { ModelRef } from '../../site/batch.ts';
import type { Site, SiteConfig } from '../../site/nats.ts';
import type { NewModel } from '../../site/set-model.ts';
import type { MemberStatus, PartitionStatus, SiteModelStatus } from '../../site/status.ts';
import { registryOf } from '../shared/globals.ts';
import { jsonText, many, outputOf } from '../shared/output.ts';
import { textTable } from '../shared/text-table.ts';
import { duration, presetOption, whole } from '../shared/values.ts';

interface Flags {
  readonly config: string;
  readonly json?: boolean;
}

interface CreateFlags extends Flags {
  readonly partitions: number;
  readonly replicas: number;
  readonly retention: number;
  readonly maxSize: number;
  readonly ttl: number;
}

export function registerSite(program: Command): void {
  const site = program
    .command('site')
    .description('run many agents as one group on NATS JetStream: create it, show it, drain a worker')
    .addHelpText('after', '\nExample:\n  $ gatecast site create -c gatecast.yaml --replicas 3\n');
  registerCreate(site);
  registerStatus(site);
  registerMembers(site);
  registerDrain(site);
  registerLast(site);
  registerTune(site);
  registerModel(site);
}

function registerCreate(site: Command): void {
  withConfig(site.command('create'))
    .description('create the streams and buckets of the site in NATS; existing ones are not changed')
    .option(
      '--partitions <n>',
      'number of logs that the streams are distributed over; cannot be changed later',
      partitions,
      64,
    )
    .option('--replicas <n>', 'replicas of all data: 1, 3 or 5', whole, 1)
    .addOption(
      presetOption('--retention <duration>', 'how long readings are kept in the logs', duration, '7d'),
    )
    .option('--max-size <size>', 'maximum size of one log; 0: no limit', sizeOrNone, 0)
    .addOption(
      presetOption(
        '--ttl <duration>',
        'a member that is silent for this long is replaced; cannot be changed later',
        ttl,
        '8s',
      ),
    )
    .addHelpText(
      'after',
      '\nExample:\n  $ gatecast site create -c gatecast.yaml --partitions 64 --replicas 3\n',
    )
    .action(async (flags: CreateFlags, self: Command) => {
      const { createSite } = await import('../../site/nats.ts');
      const config = await siteOf(flags);
      await createSite(config, {
        partitions: flags.partitions,
        replicas: flags.replicas,
        retentionMs: flags.retention,
        maxBytes: flags.maxSize,
        ttlMs: flags.ttl,
      });
      write(
        self,
        `The site ${config.name} is ready: ${many(flags.partitions, 'partition')}, ${many(flags.replicas, 'replica')}.\n`,
      );
    });
}

function registerStatus(site: Command): void {
  withConfig(site.command('status'))
    .description('show the partitions: owner, lag, checkpoint')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  $ gatecast site status -c gatecast.yaml\n')
    .action((flags: Flags, self: Command) =>
      withSite(flags, async (open) => {
        const { readMembers, readPartitions } = await import('../../site/status.ts');
        const [members, statuses] = [await readMembers(open), await readPartitions(open)];
        if (flags.json) write(self, jsonText({ site: open.name, members, partitions: statuses }));
        else write(self, `${partitionTable(statuses)}\n${summaryOf(members, statuses)}\n`);
      }),
    );
}

function registerMembers(site: Command): void {
  withConfig(site.command('members'))
    .description('show the bridges and workers that are online')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  $ gatecast site members -c gatecast.yaml\n')
    .action((flags: Flags, self: Command) =>
      withSite(flags, async (open) => {
        const { readMembers } = await import('../../site/status.ts');
        const members = await readMembers(open);
        if (flags.json) write(self, jsonText(members));
        else if (members.length === 0) write(self, 'No member is online.\n');
        else write(self, memberTable(members));
      }),
    );
}

function registerDrain(site: Command): void {
  withConfig(site.command('drain'))
    .description('move the partitions of a worker to the others, for example before an upgrade')
    .argument('<member>', 'the `node` of the worker')
    .option('--undo', 'allow partitions on this worker again')
    .addHelpText('after', '\nExample:\n  $ gatecast site drain -c gatecast.yaml plant-2\n')
    .action((member: string, flags: Flags & { undo?: boolean }, self: Command) =>
      withSite(flags, async (open) => {
        const { readMembers, setDrained } = await import('../../site/status.ts');
        const known = (await readMembers(open)).some((one) => one.role === 'worker' && one.member === member);
        if (!known && flags.undo !== true)
          throw new GatecastError('USAGE', `No worker ${JSON.stringify(member.slice(0, 64))} is online.`, {
            hint: '`gatecast site members` lists the members.',
          });
        await setDrained(open, member, flags.undo !== true);
        write(
          self,
          flags.undo === true
            ? `${member} may own partitions again.\n`
            : `${member} releases its partitions; \`gatecast site status\` shows the progress.\n`,
        );
      }),
    );
}

function registerLast(site: Command): void {
  withConfig(site.command('last'))
    .description('print the newest forecast of a stream, from the worker that owns it')
    .argument('<stream>', 'its name')
    .addHelpText('after', '\nExample:\n  $ gatecast site last -c gatecast.yaml line1/pressure\n')
    .action((stream: string, flags: Flags, self: Command) =>
      withSite(flags, async (open) => {
        const { newestForecast } = await import('../../site/status.ts');
        write(self, `${await newestForecast(open, stream)}\n`);
      }),
    );
}

function registerTune(site: Command): void {
  withConfig(site.command('tune'))
    .description('fine-tune the model of the site now, on the worker that holds the tuning lease')
    .addHelpText('after', '\nExample:\n  $ gatecast site tune -c operator.yaml\n')
    .action((flags: Flags, self: Command) =>
      withSite(flags, async (open) => {
        const { requestTuning } = await import('../../site/status.ts');
        const { member, status, reason } = await requestTuning(open);
        write(
          self,
          status === 'started'
            ? `${member} fine-tunes the model; \`gatecast site model show\` shows the result.\n`
            : `${member} will fine-tune the model later: ${reason}.\n`,
        );
      }),
    );
}

function registerModel(site: Command): void {
  const model = site
    .command('model')
    .description('the model of the site: give all workers another one without a restart')
    .addHelpText('after', '\nExample:\n  $ gatecast site model set -c operator.yaml ./models/plant-2\n');
  withConfig(model.command('set'))
    .description('store a model, have all workers check it, and let every partition switch to it')
    .argument('<model>', 'a folder of a model, a step model as ONNX, or the name of a model on this machine')
    .addOption(timeoutOption())
    .addOption(
      presetOption(
        '--probation <duration>',
        'time in which the former model replaces it if its live scores are bad; `off`: none',
        durationOrOff,
        '24h',
      ),
    )
    .addHelpText('after', '\nExample:\n  $ gatecast site model set -c operator.yaml base\n')
    .action((model: string, flags: SetFlags, self: Command) =>
      withSite(flags, async (open) => {
        const [{ readPushedModel }, { modelClaim }] = await Promise.all([
          import('../config/push-model.ts'),
          import('../../remote/model-claim.ts'),
        ]);
        const { existsSync } = await import('node:fs');
        const path = existsSync(model) ? model : (await registryOf(self)).folderOf(model);
        const { name, files } = await readPushedModel(path);
        const claim = await modelClaim(name, files, 'mqtt');
        await change(self, open, { id: claim.manifest_sha256, name, claim, files }, flags);
      }),
    );
  withConfig(model.command('rollback'))
    .description('go back to the model that the site had before')
    .addOption(timeoutOption())
    .addHelpText('after', '\nExample:\n  $ gatecast site model rollback -c operator.yaml\n')
    .action((flags: Omit<SetFlags, 'probation'>, self: Command) =>
      withSite(flags, async (open) => {
        const { formerModel } = await import('../../site/set-model.ts');
        await change(self, open, await formerModel(open), { ...flags, probation: 0 });
      }),
    );
  withConfig(model.command('show'))
    .description('show the model of the site, its probation, and the last fine-tuning')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  $ gatecast site model show -c gatecast.yaml\n')
    .action((flags: Flags, self: Command) =>
      withSite(flags, async (open) => {
        const { readSiteModel } = await import('../../site/status.ts');
        const found = await readSiteModel(open);
        write(self, flags.json ? jsonText(found) : modelText(found));
      }),
    );
}

interface SetFlags extends Flags {
  readonly timeout: number;
  readonly probation: number;
}

const timeoutOption = (): Option =>
  presetOption('--timeout <duration>', 'how long the check may take, and then the switch', duration, '2m');

async function change(self: Command, site: Site, model: NewModel, flags: SetFlags): Promise<void> {
  const { setModel } = await import('../../site/set-model.ts');
  const record = await setModel(site, model, {
    timeoutMs: flags.timeout,
    nowMs: Date.now(),
    wait: sleep,
    probationMs: flags.probation,
  });
  write(self, `${model.name} is model ${record.number} of the site: all workers have checked it.\n`);
  await switched(site, record, flags.timeout);
  write(self, 'All partitions are forecast by it.\n');
}

function modelText({ record, tuner, tuning }: SiteModelStatus): string {
  const model =
    record === null || record.number === 0
      ? 'The model of the config.'
      : `Model ${record.number}, ${record.name}, since ${record.since}${record.announced ? '' : ' (being checked)'}.`;
  const reason = record?.reason === undefined ? '' : ` ${record.reason}.`;
  const { probation, last } = tuning;
  const hours = (ms: number): string => `${(ms / 3_600_000).toFixed(1)} h`;
  const trial =
    probation === null
      ? 'No model is on probation.'
      : `On probation for ${hours(probation.elapsedMs)} of ${hours(probation.lengthMs)}.`;
  const run =
    last.status === 'never' ? 'never' : `${last.status}${last.reason === '' ? '' : `: ${last.reason}`}`;
  return `${model}${reason}\n${trial}\nFine-tuning: ${run}. ${tuner === null ? 'No worker' : tuner} is responsible.\n`;
}

/** @throws GatecastError SITE_FAILED when partitions have not switched in time */
async function switched(site: Site, record: ModelRef, timeoutMs: number): Promise<void> {
  const { notSwitched } = await import('../../site/set-model.ts');
  for (let waitedMs = 0; ; waitedMs += SWITCH_LOOK_MS) {
    const missing = await notSwitched(site, record);
    if (missing.length === 0) return;
    if (waitedMs >= timeoutMs)
      throw new GatecastError(
        'SITE_FAILED',
        `${missing.length} partitions have not switched yet, such as ${missing[0]}.`,
        { hint: 'They switch when their owner reads on: `gatecast site status` shows the model of each.' },
      );
    await sleep(SWITCH_LOOK_MS);
  }
}

const SWITCH_LOOK_MS = 500;
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const withConfig = (command: Command): Command =>
  command.requiredOption('-c, --config <file>', 'config file of a member, with `site`');

const write = (command: Command, text: string): void => outputOf(command).out(text);

/** @throws GatecastError CONFIG_INVALID when the config has no site */
async function siteOf({ config: file }: Flags): Promise<SiteConfig> {
  const { loadConfig } = await import('../../config/index.ts');
  const { site } = loadConfig(file);
  if (site === undefined)
    throw new GatecastError('CONFIG_INVALID', `${file} has no \`site\`.`, {
      hint: 'docs/site.md shows how to start.',
      issues: [{ path: 'site', message: 'is missing' }],
    });
  return site;
}

async function withSite(flags: Flags, action: (site: Site) => Promise<void>): Promise<void> {
  const { openSite } = await import('../../site/nats.ts');
  const site = await openSite(await siteOf(flags), 'gatecast site');
  try {
    await action(site);
  } finally {
    await site.nc.close();
  }
}

const numberText = (value: number | null): string => (value === null ? '-' : String(value));

function partitionTable(statuses: readonly PartitionStatus[]): string {
  const head = ['partition', 'owner', 'epoch', 'streams', 'model', 'lag', 'log', 'checkpoint', 'since'];
  return textTable([
    head,
    ...statuses.map(
      ({ partition, owner, epoch, streams, model, lag, messages, checkpoint, sinceCheckpoint, fault }) => [
        String(partition),
        owner ?? 'NONE',
        String(epoch),
        numberText(streams),
        numberText(model),
        numberText(lag),
        fault ?? String(messages),
        checkpoint?.slice(0, 19) ?? '-',
        String(sinceCheckpoint),
      ],
    ),
  ]);
}

function memberTable(members: readonly MemberStatus[]): string {
  const head = ['member', 'role', 'version', 'partitions', 'streams', 'lag', 'state', 'model'];
  return textTable([
    head,
    ...members.map(({ member, role, version, partitions, streams, lag, draining, model }) => [
      member,
      role,
      version,
      String(partitions),
      String(streams),
      String(lag),
      draining ? 'draining' : 'up',
      model || '-',
    ]),
  ]);
}

function summaryOf(members: readonly MemberStatus[], statuses: readonly PartitionStatus[]): string {
  const workers = members.filter(({ role }) => role === 'worker').length;
  const unowned = statuses.filter(({ owner }) => owner === null).length;
  const streams = statuses.reduce((sum, one) => sum + (one.streams ?? 0), 0);
  const owners = unowned === 0 ? 'every partition has an owner' : `${unowned} partitions have no owner`;
  return `${many(workers, 'worker')}, ${many(members.length - workers, 'bridge')}, ${many(streams, 'stream')}; ${owners}.`;
}

function partitions(text: string): number {
  const value = whole(text);
  if (value > 1024) throw new InvalidArgumentError('At most 1024 are possible.');
  return value;
}

function ttl(text: string): number {
  const ms = duration(text);
  if (ms < 1000 || ms > 300_000) throw new InvalidArgumentError('A duration from 1s to 5m is expected.');
  return ms;
}

const durationOrOff = (text: string): number => (text === 'off' ? 0 : duration(text));

function sizeOrNone(text: string): number {
  const bytes = text === '0' ? 0 : parseSize(text);
  if (bytes === null) throw new InvalidArgumentError('A size such as 10GB is expected, or 0.');
  return bytes;
}
