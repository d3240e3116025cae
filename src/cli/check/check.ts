/** `gatecast check`: validates a config, lists its rules, and with `--listen` applies them to live messages. Read-only. */

import { accessSync, constants, existsSync, statfsSync, statSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Command } from 'commander';
import type { Config, ReadConfig } from '../../config/index.ts';
import { errorText, GatecastError } from '../../errors.ts';
import type { HeardTopic } from '../../ingest/survey.ts';
import type { BrokerOptions } from '../../mqtt/options.ts';
import { readInput } from '../../system/files.ts';
import { unwritable } from '../../system/output-file.ts';
import {
  addLogin,
  brokerOf,
  brokerOption,
  checkedUrl,
  LOCAL_BROKER,
  type LoginFlags,
  mqttOf,
  PASSWORD_FILE,
  withPassword,
} from '../shared/broker.ts';
import { globals, modelRegistry } from '../shared/globals.ts';
import type { Heard } from '../shared/heard.ts';
import { layered } from '../shared/layers.ts';
import { nodeName } from '../shared/node-name.ts';
import { type CommandOutput, jsonText, many, outputOf } from '../shared/output.ts';
import { waitUnlessSignal } from '../shared/until-signal.ts';
import { duration } from '../shared/values.ts';
import type { RuleSummary } from './report.ts';

interface Login extends Omit<LoginFlags, 'broker'> {
  /** Default: the broker of the config, or that of this machine. */
  readonly broker?: string;
  readonly password?: string;
}

interface Options extends Login {
  readonly config?: string;
  /** ms */
  readonly listen?: number;
  readonly out?: string;
  readonly json?: boolean;
}

/** Options that only a connection uses. */
const CONNECTION_FLAGS: Readonly<Record<Exclude<keyof Login, 'password'>, string>> = {
  broker: '--broker',
  username: '--username',
  passwordFile: '--password-file',
  ca: '--ca',
  cert: '--cert',
  key: '--key',
};

const EXAMPLES = `
Examples:
  $ gatecast check -c gatecast.yaml                  validate the config and list its rules
  $ gatecast check -c gatecast.yaml --listen 60s     show messages per rule and decoding errors
  $ gatecast check --listen 60s --broker mqtt://192.168.1.5 --username me --out gatecast.yaml
                                                     write a config from the messages; prompts for the password`;

export function registerCheck(program: Command): void {
  const command = program
    .command('check')
    .description('validate a config; with --listen show incoming messages for it, and suggest a config')
    .option('-c, --config <file>', 'config file, YAML or JSON')
    .option('--listen <duration>', 'how long to listen on the broker, read-only', duration);
  addLogin(command, brokerOption(`the broker; default: that of the config, or ${LOCAL_BROKER}`))
    .option('--out <file>', 'write the suggested config to a new file')
    .option('--json', 'print JSON')
    .addHelpText('after', EXAMPLES)
    .action(async (options: Options, command: Command) => {
      await check(options, globals(command).dataDir, outputOf(command));
    });
}

async function check(
  options: Options,
  dataDir: string | undefined,
  { out, err }: CommandOutput,
): Promise<void> {
  const { readConfig, resolveRules, configHash, configWarnings } = await import('../../config/index.ts');
  const { configText, heardText, summarise } = await import('./report.ts');
  const path = options.config;
  if (path === undefined && options.listen === undefined)
    throw new GatecastError('USAGE', 'nothing to check', { hint: 'name a config with -c, or --listen' });
  if (options.out !== undefined && options.listen === undefined)
    throw new GatecastError('USAGE', '--out needs --listen', {
      hint: 'the suggested config is made from live messages',
    });
  const unused = Object.entries(CONNECTION_FLAGS).find(([key]) => options[key as keyof Login] !== undefined);
  if (unused !== undefined && options.listen === undefined)
    throw new GatecastError('USAGE', `${unused[1]} needs --listen`, {
      hint: 'without it, `check` does not connect to a broker',
    });
  if (options.out !== undefined && existsSync(options.out))
    throw new GatecastError('USAGE', `${options.out} exists`, { hint: '--out never overwrites a file' });
  const load = (file: string): ReadConfig => {
    try {
      return readConfig(file, dataDir === undefined ? {} : { GATECAST_DATA_DIR: dataDir });
    } catch (error) {
      if (options.json && error instanceof GatecastError && error.code === 'CONFIG_INVALID')
        out(jsonText({ config: file, valid: false, issues: error.issues }));
      throw error;
    }
  };
  const read = path === undefined ? null : load(path);
  const config = read?.config ?? null;
  const layers = read === null ? null : await layered(read, dataDir);
  const rules = config === null ? [] : summarise(resolveRules(config));
  const valid =
    config === null
      ? {}
      : {
          config: path,
          valid: true,
          node: config.node,
          hash: configHash(config),
          warnings: configWarnings(config),
          rules,
          // The file with the layers pushed to this gateway.
          ...(layers && { effective: { hash: layers.hash, problem: layers.problem, keys: layers.keys } }),
        };
  if (config !== null && path !== undefined && !options.json) out(configText(path, config, rules));
  if (layers !== null && layers.problem !== null)
    err(`warning: the pushed layers are invalid on this file, which would apply alone: ${layers.problem}\n`);
  if (config !== null) {
    for (const { path: key, message } of configWarnings(config)) err(`warning: ${key}: ${message}\n`);
    await warnOfFiles(config, err);
    warnOfFolder(config.data_dir, err);
    await warnOfModel(config, err);
  }
  if (options.listen === undefined) {
    if (options.json) out(jsonText(valid));
    return;
  }
  // Without a config the suggestion is the result, so only the suggestion goes to stdout.
  const result = await hear(config, options, options.listen, options.json ? () => {} : err);
  if (options.out !== undefined && result.rules > 0) {
    writeNew(options.out, result.suggestion);
    if (result.password !== undefined) {
      const { keepPassword } = await import('../init/config-file.ts');
      err(
        `wrote the password to ${keepPassword(options.out, result.password)}, which only its owner may read\n`,
      );
    }
  }
  if (options.json) out(jsonText({ ...valid, ...jsonOf(result) }));
  else {
    if (config !== null) out(heardText(result.heard, rules as readonly RuleSummary[]));
    else
      err(`${many(result.heard.messages, 'message')}, ${many(result.topics.length, 'topic')} with numbers\n`);
    for (const filter of result.refused) err(`the broker refused the subscription to ${filter}\n`);
    if (options.out !== undefined && result.rules > 0) err(`wrote ${options.out}\n`);
    else if (result.rules > 0) {
      out(config === null ? result.suggestion : `\n# Topics that no rule reads:\n${result.suggestion}`);
      if (result.password !== undefined)
        err(
          `put the password into ${fileOfPassword(options)}, which the config names; protect it: chmod 600\n`,
        );
    } else err(`${nothingNew(config !== null, result.heard.messages)}\n`);
  }
}

/** Why there is no suggestion. */
function nothingNew(withConfig: boolean, messages: number): string {
  if (messages === 0)
    return 'no message arrived: check that the sensors publish to this broker and that this user may read them; --listen 10m waits for slow sensors';
  return withConfig
    ? 'every topic with measurements is read by a rule'
    : 'no message contained a measurement';
}

/** The daemon makes naive forecasts without a model; warns, because the name may be misspelt. */
async function warnOfModel(config: Config, err: CommandOutput['err']): Promise<void> {
  const registry = await modelRegistry(config.data_dir);
  if (registry.has(config.model.name) || !canRead(config.data_dir)) return;
  const names = registry.list().map(({ name }) => name);
  err(
    `warning: model.name: there is no model ${config.model.name}, so only naive forecasts would be made; available: ${names.join(', ')}\n`,
  );
}

/** Other users cannot read a service's folder, so they cannot know its models. */
function canRead(folder: string): boolean {
  try {
    accessSync(folder, constants.R_OK | constants.X_OK);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT';
  }
}

/** Largest file that is read to find out whether it can be: that of a covariate, which is the largest that the agent reads. */
const MOST_BYTES = 2 ** 24;

/** Warns of unreadable files. Not an error, because a password, certificate or key may be installed later. */
async function warnOfFiles(config: Config, err: CommandOutput['err']): Promise<void> {
  const [{ namedFiles }, { loadKeys }] = await Promise.all([
    import('../../config/index.ts'),
    import('../../remote/keys.ts'),
  ]);
  const { remote_config: remote, requests } = config;
  const files = namedFiles(config).filter(({ key }) => key !== 'remote_config.keys');
  const reads: (() => unknown)[] = files.map(
    ({ key, path }) =>
      () =>
        readInput(path, MOST_BYTES, `${key}: ${path}`),
  );
  if (remote.enabled || requests.signed) reads.push(() => loadKeys(remote.keys));
  for (const read of reads)
    try {
      read();
    } catch (error) {
      if (!(error instanceof GatecastError) || error.code !== 'FILE_UNREADABLE') throw error;
      err(`warning: ${error.message}\n`);
    }
}

/** File systems of the kernel (`/proc`, `/sys`), which have no room for files, although root may write there: types of statfs. */
const KERNEL_FILE_SYSTEMS = new Set([0x9fa0, 0x62656572, 0x27e0eb, 0x63677270]);

/** Warns if this user cannot use the data directory. A folder of another user is skipped: it may be the service's. */
function warnOfFolder(folder: string, err: CommandOutput['err']): void {
  const warn = (text: string): void => err(`warning: data_dir: ${text}\n`);
  let there = folder;
  try {
    while (!existsSync(there)) there = dirname(there);
    if (!statSync(there).isDirectory()) {
      warn(`${there} is not a folder${there === folder ? '' : `, so ${folder} cannot be created or used`}`);
      return;
    }
    const stats = statSync(folder, { throwIfNoEntry: false });
    if (stats !== undefined && stats.uid !== process.getuid?.()) return;
    accessSync(there, constants.W_OK | constants.X_OK);
    if (KERNEL_FILE_SYSTEMS.has(statfsSync(there).type))
      warn(`${there} belongs to the kernel, so ${folder} cannot be created or used`);
  } catch (error) {
    const { code, syscall } = error as NodeJS.ErrnoException;
    // The folder is below one of another user, such as the service.
    if (syscall === 'stat' && code === 'EACCES') return;
    warn(
      code === 'EACCES' || code === 'EROFS'
        ? `this user cannot write to ${there}, so ${folder} cannot be created or used`
        : `${folder} cannot be created or used: ${errorText(error)}`,
    );
  }
}

interface Result {
  readonly heard: Heard;
  readonly refused: readonly string[];
  /** Topics with numbers but without a rule. */
  readonly topics: readonly HeardTopic[];
  readonly suggestion: string;
  /** Number of rules in the suggestion. */
  readonly rules: number;
  /** The password that was typed, if the suggestion names a file of it. */
  readonly password: string | undefined;
}

const jsonOf = ({ heard, refused, topics, suggestion }: Result): object => ({
  messages: heard.messages,
  streams: heard.streams().map(({ marks: _, low: __, high: ___, ...stream }) => stream),
  hints: heard
    .streams()
    .flatMap((stream) => heard.hints(stream).map((hint) => ({ stream: stream.stream, hint }))),
  rejects: heard.rejects(),
  refused_subscriptions: refused,
  topics_without_rule: topics.map(({ topic, kind }) => ({ topic, kind })),
  suggestion,
});

async function hear(
  config: Config | null,
  flags: Options,
  listenMs: number,
  err: CommandOutput['err'],
): Promise<Result> {
  const [{ listenAndSurvey }, { suggestConfig }, { suggestRules }, { terminal }] = await Promise.all([
    import('../shared/listen-survey.ts'),
    import('../../config/suggest/suggest.ts'),
    import('../../config/suggest/rules.ts'),
    import('../shared/terminal.ts'),
  ]);
  const login = await withPassword(flags, terminal());
  const password = config === null ? login.password : undefined;
  if (password !== undefined && flags.out !== undefined && existsSync(fileOfPassword(flags)))
    throw new GatecastError('USAGE', `${fileOfPassword(flags)} exists`, {
      hint: 'name it with --password-file, or write to another folder: --out never overwrites a file',
    });
  err(`listening for ${listenMs / 1000} s; Ctrl-C ends it early\n`);
  const { heard, survey, refused } = await listenAndSurvey({
    options: config === null ? await brokerOf(withBroker(login), 'check') : await loginOf(config, login),
    config,
    until: () => waitUnlessSignal(listenMs),
  });
  const names = heard.streams().map(({ stream }) => stream);
  // As `init` writes it.
  const passwordFile = password === undefined ? flags.passwordFile : fileOfPassword(flags);
  const suggestion = suggestConfig(headOf(config, { ...flags, passwordFile }), survey, names);
  const { length } = suggestRules(survey).rules;
  return { heard, refused, topics: survey.topics(), suggestion, rules: length, password };
}

/**
 * Broker and login from a config, overridden by options, with another client id: the same id would disconnect the daemon.
 * @throws GatecastError USAGE, CONFIG_INVALID
 */
async function loginOf(
  config: Config,
  { broker, username, password, passwordFile, ca, cert, key }: Login,
): Promise<BrokerOptions> {
  const url = broker === undefined ? config.mqtt.url : checkedUrl(broker);
  const { brokerOptions } = await import('../../mqtt/options.ts');
  const clientId = `gatecast-check-${process.pid}`;
  const given = { username, password, passwordFile, ca, cert, key };
  return {
    ...brokerOptions({ ...config.mqtt, url }, clientId),
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
    clientId,
    sessionExpiryMs: 0,
  };
}

const fileOfPassword = ({ out = '' }: Options): string => resolve(dirname(out), PASSWORD_FILE);

const withBroker = (login: Login): Login & LoginFlags => ({ ...login, broker: login.broker ?? LOCAL_BROKER });

/** Keys of the suggestion that come from the config or from the command line. */
function headOf(config: Config | null, flags: Login): Record<string, unknown> {
  if (config === null) return { node: nodeName(), mqtt: mqttOf(withBroker(flags)) };
  const { mqtt } = config;
  const kept = ['url', 'username', 'password_file', 'ca', 'cert', 'key'] as const;
  return {
    node: config.node,
    mqtt: Object.fromEntries(kept.filter((key) => mqtt[key] !== undefined).map((key) => [key, mqtt[key]])),
  };
}

function writeNew(path: string, text: string): void {
  try {
    writeFileSync(path, text, { flag: 'wx' });
  } catch (cause) {
    throw unwritable(path, cause);
  }
}
