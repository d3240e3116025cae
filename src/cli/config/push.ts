/** `gatecast config push`: signs a config or a patch, sends it, and follows what the gateways report. */

import { type Command, InvalidArgumentError } from 'commander';
import { GatecastError } from '../../errors.ts';
import { addLogin, brokerOf, type LoginFlags, openLink } from '../shared/broker.ts';
import { AlreadyReported } from '../shared/failure.ts';
import { LastingLink } from '../shared/lasting-link.ts';
import { jsonText, outputOf, printable } from '../shared/output.ts';
import { onSignal } from '../shared/until-signal.ts';
import { duration, list, presetOption } from '../shared/values.ts';
import {
  addClaims,
  addContent,
  addModel,
  addTarget,
  type ClaimFlags,
  type ContentFlags,
  contentOf,
  type ModelFlags,
  type PushContent,
  type TargetFlags,
  targetOf,
} from './content.ts';
import type { SignerFlags } from './key-file.ts';
import {
  addOperatorFolder,
  addSigner,
  level,
  type OperatorFlags,
  operatorFolder,
  type Target,
} from './operator.ts';
import type { Delivery, PushIo, PushResult } from './push-run.ts';
import type { AbortLimit, Rate } from './rollout.ts';
import { LiveTable, tableLines, terminal } from './table.ts';

interface RolloutFlags {
  readonly canary?: number;
  readonly rate?: Rates;
  readonly abortAfter: AbortLimit;
  readonly nodes?: readonly string[];
  readonly wait: number;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** Gateways process at most this much. */
const MOST_BYTES_PER_SECOND = 4 * 1024 * 1024;

/** `--rate` may be given twice: once for gateways, once for bytes. */
interface Rates {
  readonly gateways?: Rate;
  readonly bytesPerSecond?: number;
}

export type SendFlags = RolloutFlags & TargetFlags & ClaimFlags & SignerFlags & OperatorFlags & LoginFlags;
type Flags = SendFlags &
  ContentFlags &
  ModelFlags & { readonly resume?: string | true; readonly signed?: string };

export const addRollout = (command: Command): Command =>
  command
    .option(
      '--canary <share>',
      'with --fleet: share of gateways to push to first, such as 5%, at least one',
      share,
    )
    .option(
      '--rate <rate>',
      'with --fleet: gateways per time, such as 10/1m; with --model: bytes per second, such as 256kB/s',
      rate,
    )
    .addOption(
      presetOption(
        '--abort-after <limit>',
        'stop the rollout after "2 failures", or after "10%" of all gateways failed',
        abortLimit,
        '1 failure',
      ),
    )
    .option(
      '--nodes <names>',
      'with --fleet: its gateways, joined by commas; default: all that answer',
      nodes,
    )
    .addOption(presetOption('--wait <duration>', 'longest wait for the answer of a gateway', duration, '30s'))
    .option('--dry-run', 'gateways only validate the push and report')
    .option('--json', 'print the result as JSON');

export function registerPush(config: Command): void {
  const command = config
    .command('push')
    .description('push a config to one gateway or to a fleet, and show their reports');
  addModel(addContent(addTarget(command)))
    .option('--signed <file>', 'send a push that `config sign` wrote; add --model if it contains a model')
    .option('--resume [id]', 'resume an interrupted push; default: the newest');
  addLogin(addOperatorFolder(addSigner(addRollout(addClaims(command)))))
    .addHelpText(
      'after',
      `
Examples:
  $ gatecast config push --to cellar --patch pumps.yaml --broker mqtts://broker.lan
  $ gatecast config push --fleet pumps --config pumps.yaml --canary 5% --rate 10/1m --abort-after "2 failures"
  $ gatecast config push --to cellar --model models/pumps-v2 --probation 2h
  $ gatecast config push --resume

Exit code 0 only if every gateway has applied the push. All gateways of a fleet validate the push first; if one refuses it,
none applies it.`,
    )
    .action(async (flags: Flags, self: Command) => {
      await follow(flags, self, flags.resume === undefined ? contentOf(flags) : null);
    });
}

/**
 * @param signedFor target of the push in `--signed`; null: there is none
 * @throws GatecastError USAGE if the options do not fit together
 */
function checkedTarget(flags: Flags, signedFor: Target | null, content: PushContent): Target {
  const { to, fleet, config, patch, canary, rate, nodes, model, modelUrl } = flags;
  const usage = (text: string, hint?: string) => new GatecastError('USAGE', text, { hint });
  if (signedFor !== null && [to, fleet, config, patch].some((one) => one !== undefined))
    throw usage(
      '--signed already contains the target and the content: leave out --to, --fleet, --config and --patch',
    );
  const target = signedFor ?? targetOf(flags);
  if (target.kind === 'node' && [canary, rate?.gateways, nodes].some((one) => one !== undefined))
    throw usage('--canary, --nodes and a --rate of gateways need --fleet');
  if (model === undefined && (modelUrl !== undefined || rate?.bytesPerSecond !== undefined))
    throw usage('--model-url and a --rate of bytes need --model');
  if (signedFor === null && Object.keys(content).length === 0 && model === undefined)
    throw usage('nothing to push', 'name --config FILE, --patch FILE, --model PATH or --signed FILE');
  return target;
}

/** Signs and sends a push; resumes one if `content` is null. Throws `AlreadyReported` unless all gateways have applied it. */
export async function follow(flags: Flags, command: Command, content: PushContent | null): Promise<void> {
  const folder = operatorFolder(flags);
  const [
    { push, resume, sendSigned },
    { makeOperatorFolder, openSigner },
    { readPushedModel, DEFAULT_BYTES_PER_SECOND, withModel },
    { readSigned },
  ] = await Promise.all([
    import('./push-run.ts'),
    import('./key-file.ts'),
    import('./push-model.ts'),
    import('./signed-push.ts'),
  ]);
  const { out: write, err: writeError } = outputOf(command);
  const table = flags.json ? null : new LiveTable(terminal(write));
  const options = await brokerOf(flags, 'config');
  let stopped = false;
  const io: PushIo = {
    connect: (message) =>
      LastingLink.open(() => openLink(options, message), {
        stopped: () => stopped,
        say: (text) => (table === null ? writeError(`${printable(text)}\n`) : table.note(printable(text))),
      }),
    show: (states, title) => table?.update(states, title),
    changed: (state) => table?.change(state),
    now: Date.now,
    stopped: () => stopped,
  };
  const run = async (): Promise<PushResult> => {
    makeOperatorFolder(folder);
    if (content === null) return resume(typeof flags.resume === 'string' ? flags.resume : null, folder, io);
    const signed = flags.signed === undefined ? null : readSigned(flags.signed, flags.base);
    const target = checkedTarget(flags, signed?.target ?? null, content);
    const model = flags.model === undefined ? null : await readPushedModel(flags.model);
    const { base, wait: waitMs, abortAfter } = flags;
    const delivery: Delivery = {
      model,
      bytesPerSecond: flags.rate?.bytesPerSecond ?? DEFAULT_BYTES_PER_SECOND,
      folder,
      canary: flags.canary ?? null,
      rate: flags.rate?.gateways ?? null,
      abortAfter,
      nodes: flags.nodes ?? null,
      waitMs,
    };
    if (signed !== null) {
      if (signed.claims.model?.source === 'mqtt' && model === null)
        throw new GatecastError(
          'USAGE',
          `${flags.signed} contains the model ${signed.claims.model.name}, but not its files`,
          { hint: 'name the files with --model' },
        );
      return sendSigned(signed, delivery, io);
    }
    const signer = await openSigner(flags, folder);
    const dryRun = flags.dryRun === true;
    const whole = await withModel(content, model, flags);
    return push({ ...delivery, base, target, content: whole, claims: flags, signer, dryRun }, io);
  };
  const unhook = onSignal(() => {
    stopped = true;
  });
  const result = await run().finally(unhook);
  write(flags.json ? jsonText(jsonOf(result)) : textOf(result));
  if (result.result !== 'applied') throw new AlreadyReported();
}

const jsonOf = ({ dryRun, ...result }: PushResult): object => ({ ...result, dry_run: dryRun });

function textOf({ id, version, result, dryRun, nodes }: PushResult): string {
  const applied = nodes.filter(({ status }) => status === 'applied').length;
  const failed = nodes.filter(({ status }) => status !== 'applied' && status !== 'waiting');
  const waiting = nodes.length - applied - failed.length;
  const lines = failed.length > 0 ? [...tableLines(failed), ''] : [];
  const of = `${applied} of ${nodes.length}`;
  if (dryRun)
    return `${[...lines, `dry run: ${of} would apply version ${version}; nothing was applied`].join('\n')}\n`;
  const sentence = {
    applied: `version ${version}: applied by all ${nodes.length}`,
    failed: `version ${version}: applied by ${of}`,
    aborted: `version ${version}: aborted; applied by ${of}, not sent to ${waiting}. To undo it: gatecast config rollback`,
    stopped: `version ${version}: stopped; applied by ${of}. To resume: gatecast config push --resume ${id}`,
  }[result];
  return `${[...lines, printable(sentence)].join('\n')}\n`;
}

function share(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*%$/.exec(text.trim());
  const value = Number(match?.[1]) / 100;
  if (match === null || value <= 0 || value > 1)
    throw new InvalidArgumentError('A share such as 5% is expected.');
  return value;
}

function rate(text: string, before: Rates = {}): Rates {
  const bytes = /^(\d+(?:\.\d+)?)\s*(kB|MB)\/s$/i.exec(text.trim());
  if (bytes !== null) {
    const bytesPerSecond = Number(bytes[1]) * (bytes[2]?.toLowerCase() === 'mb' ? 1024 * 1024 : 1024);
    if (bytesPerSecond < 1024 || bytesPerSecond > MOST_BYTES_PER_SECOND)
      throw new InvalidArgumentError('A rate from 1kB/s to 4MB/s is expected.');
    return { ...before, bytesPerSecond };
  }
  const [count = '', period = ''] = text.split('/');
  if (!/^[1-9]\d{0,5}$/.test(count.trim()))
    throw new InvalidArgumentError('A rate like 10/1m (ten gateways in one minute) or 256kB/s is expected.');
  return { ...before, gateways: { count: Number(count), periodMs: duration(period) } };
}

function abortLimit(text: string): AbortLimit {
  if (text.includes('%')) return { kind: 'share', share: share(text) };
  const match = /^([1-9]\d{0,5})(?:\s*failures?)?$/.exec(text.trim());
  if (match === null) throw new InvalidArgumentError('"2 failures" or "10%" is expected.');
  return { kind: 'count', failures: Number(match[1]) };
}

const nodes = (text: string): string[] => list(text).map(level);
