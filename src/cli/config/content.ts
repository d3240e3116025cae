/** The options that define a push, and the claims built from them. */
import { randomUUID } from 'node:crypto';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { parseConfigText } from '../../config/document.ts';
import { formatDuration } from '../../config/units.ts';
import { GatecastError } from '../../errors.ts';
import {
  type Claims,
  claimsSchema,
  DEFAULT_PROBATION,
  fleetAudience,
  isProbation,
  nodeAudience,
} from '../../remote/contract.ts';
import { isObject, type JsonObject } from '../../remote/merge-patch.ts';
import { readInput } from '../../system/files.ts';
import { duration, matching, presetOption, whole } from '../shared/values.ts';
import { baseLevels, level, type Target } from './operator.ts';

export interface TargetFlags {
  readonly to?: string;
  readonly fleet?: string;
  readonly base: string;
}

export interface ContentFlags {
  readonly config?: string;
  readonly patch?: string;
}

export interface ModelFlags {
  readonly model?: string;
  readonly modelUrl?: string;
}

export interface ClaimFlags {
  readonly version?: number;
  readonly expires: number;
  readonly probation: number;
  readonly token?: string;
}

export type PushContent = Pick<Claims, 'config' | 'patch' | 'rollback' | 'model'>;

export const baseOption = (): Option =>
  new Option('--base <levels>', 'first levels of every topic').argParser(baseLevels).default('gatecast');

export const addTarget = (command: Command): Command =>
  command
    .option('--to <node>', 'one gateway', level)
    .option('--fleet <group>', 'every gateway that has this group in remote_config.groups', level)
    .addOption(baseOption());

export const addContent = (command: Command): Command =>
  command
    .option('--config <file>', 'YAML or JSON: the whole remote layer, `streams` keyed by the id of the rule')
    .option('--patch <file>', 'YAML or JSON: a merge patch (RFC 7396) on the remote layer');

export const addModel = (command: Command): Command =>
  command
    .option('--model <path>', 'a model: its folder, or a step model as NAME.onnx; sent over the broker')
    .option('--model-url <url>', 'https URL of that folder; gateways download the model from there');

export const addClaims = (command: Command): Command =>
  command
    .option('--version <n>', 'version of the push; default: the next one', whole)
    .addOption(presetOption('--expires <duration>', 'gateways refuse the push after this', duration, '30d'))
    .addOption(
      presetOption(
        '--probation <duration>',
        'time during which a failure makes a gateway roll back, 1s to 24h',
        probation,
        DEFAULT_PROBATION,
      ),
    )
    .option('--token <text>', 'text that gateways repeat in their reports; default: random', token);

function probation(text: string): number {
  const ms = duration(text);
  if (!isProbation(ms)) throw new InvalidArgumentError('A duration from 1s to 24h is expected.');
  return ms;
}

const token = (text: string): string =>
  matching(text, /^.{1,256}$/s, 'A text of 1 to 256 characters is expected.');

/** @throws GatecastError USAGE */
export function targetOf({ to, fleet }: TargetFlags): Target {
  if ((to === undefined) === (fleet === undefined))
    throw new GatecastError('USAGE', 'name the target: --to NODE or --fleet GROUP');
  return to === undefined ? { kind: 'fleet', name: fleet ?? '' } : { kind: 'node', name: to };
}

/** @throws GatecastError USAGE, FILE_UNREADABLE, CONFIG_INVALID */
export function contentOf({ config, patch }: ContentFlags): PushContent {
  if (config !== undefined && patch !== undefined)
    throw new GatecastError('USAGE', '--config and --patch cannot be combined');
  if (config !== undefined) return { config: readTree(config) };
  return patch === undefined ? {} : { patch: readTree(patch) };
}

/** Largest file that is read, bytes. The limit of a push is smaller. */
const MOST_TREE_BYTES = 16 * 2 ** 20;

function readTree(path: string): JsonObject {
  const { value, issues } = parseConfigText(
    readInput(path, MOST_TREE_BYTES, `cannot read ${path}`).toString('utf8'),
  );
  if (issues.length > 0) throw new GatecastError('CONFIG_INVALID', `${path} cannot be read`, { issues });
  if (!isObject(value)) throw new GatecastError('CONFIG_INVALID', `${path} must be an object of config keys`);
  if (Array.isArray(value.streams))
    throw new GatecastError(
      'CONFIG_INVALID',
      `${path}: in a push, \`streams\` is an object keyed by the id of the rule`,
      { hint: '`gatecast config show -c FILE` prints the ids: {"streams": {"pumps": {"horizon": "48h"}}}' },
    );
  return value;
}

interface Stamp {
  readonly base: string;
  readonly target: Target;
  readonly version: number;
  readonly nowMs: number;
  readonly dryRun: boolean;
}

/** @throws GatecastError USAGE if the claims are invalid */
export function claimsOf(
  content: PushContent,
  flags: ClaimFlags,
  { base, target, version, nowMs, dryRun }: Stamp,
): Claims {
  const seconds = Math.floor(nowMs / 1000);
  const { kind, name } = target;
  const claims = {
    aud: kind === 'node' ? nodeAudience(base, name) : fleetAudience(base, name),
    iat: seconds,
    exp: seconds + Math.ceil(flags.expires / 1000),
    version,
    token: flags.token ?? randomUUID(),
    probation: formatDuration(flags.probation),
    ...content,
    ...(dryRun ? { dry_run: true } : {}),
  };
  const parsed = claimsSchema.safeParse(claims);
  if (parsed.success) return parsed.data;
  throw new GatecastError('USAGE', 'this cannot be pushed', {
    issues: parsed.error.issues.map(({ path, message }) => ({ path: path.join('.'), message })),
    hint: 'name one of --config FILE and --patch FILE',
  });
}
