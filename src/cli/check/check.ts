/** `gatecast check`: validates a config, shows what it reads, and, listening, what would come of it. Changes nothing. */
import { accessSync, constants, existsSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import type { Command } from 'commander';
import type { Config, ReadConfig } from '../../config/index.ts';
import { GatecastError } from '../../errors.ts';
import type { HeardTopic } from '../../ingest/survey.ts';
import { unwritable } from '../../system/output-file.ts';
import { globals } from '../shared/globals.ts';
import { type Layered, layered } from '../shared/layers.ts';
import { modelRegistry } from '../shared/models.ts';
import { untilSignal } from '../shared/until-signal.ts';
import { duration } from '../shared/values.ts';
import type { Listening } from './listen.ts';
import type { Heard, RuleSummary } from './report.ts';

interface Options {
  readonly config?: string;
  /** ms */
  readonly listen?: number;
  readonly broker: string;
  readonly out?: string;
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  $ gatecast check -c gatecast.yaml                  is it valid, and what does it read?
  $ gatecast check -c gatecast.yaml --listen 60s     what comes in for each rule, and what does not decode?
  $ gatecast check --listen 60s --broker mqtt://192.168.1.5 --out gatecast.yaml
                                                     write a config from what is heard`;

export function registerCheck(program: Command): void {
  program
    .command('check')
    .description('validate a config; with --listen show what comes in for it, and suggest one')
    .option('-c, --config <file>', 'config file, YAML or JSON')
    .option('--listen <duration>', 'listen on the broker for so long, read-only', duration)
    .option('--broker <url>', 'where to listen when there is no config', 'mqtt://127.0.0.1:1883')
    .option('--out <file>', 'write the suggested config to a new file')
    .option('--json', 'print JSON')
    .addHelpText('after', EXAMPLES)
    .action(async (options: Options, command: Command) => {
      const { writeOut, writeErr } = command.configureOutput();
      await check(options, globals(command).dataDir, {
        out: writeOut ?? ((text) => process.stdout.write(text)),
        err: writeErr ?? ((text) => process.stderr.write(text)),
      });
    });
}

interface Output {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
}

async function check(options: Options, dataDir: string | undefined, { out, err }: Output): Promise<void> {
  const { readConfig, resolveRules, configHash } = await import('../../config/index.ts');
  const { configText, heardText, many, summarise } = await import('./report.ts');
  const path = options.config;
  if (path === undefined && options.listen === undefined)
    throw new GatecastError('USAGE', 'nothing to check', { hint: 'name a config with -c, or --listen' });
  if (options.out !== undefined && existsSync(options.out))
    throw new GatecastError('USAGE', `${options.out} exists`, { hint: '--out never overwrites a file' });
  const load = (file: string): ReadConfig => {
    try {
      return readConfig(file, dataDir === undefined ? {} : { GATECAST_DATA_DIR: dataDir });
    } catch (error) {
      if (options.json && error instanceof GatecastError && error.code === 'CONFIG_INVALID')
        out(`${JSON.stringify({ config: file, valid: false, issues: error.issues }, null, 2)}\n`);
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
          rules,
          ...effective(layers),
        };
  if (config !== null && path !== undefined && !options.json) out(configText(path, config, rules));
  if (layers !== null && layers.problem !== null)
    err(`warning: the pushed layers do not fit this file, which would run alone: ${layers.problem}\n`);
  if (config !== null) {
    await warnOfSecrets(config, err);
    await warnOfModel(config, err);
  }
  if (options.listen === undefined) {
    if (options.json) out(`${JSON.stringify(valid, null, 2)}\n`);
    return;
  }
  // Without a config the suggestion is the result; it alone goes where a shell redirects it.
  if (!options.json) err(`listening for ${options.listen / 1000} s; ctrl-c ends it sooner\n`);
  const result = await overhear(config, options.broker, options.listen);
  if (options.out !== undefined) writeNew(options.out, result.suggestion);
  if (options.json) out(`${JSON.stringify({ ...valid, ...jsonOf(result) }, null, 2)}\n`);
  else {
    if (config !== null) out(heardText(result.heard, rules as readonly RuleSummary[]));
    else
      err(`${many(result.heard.messages, 'message')}, ${many(result.topics.length, 'topic')} with numbers\n`);
    for (const filter of result.refused) err(`the broker refused the subscription to ${filter}\n`);
    if (options.out !== undefined) err(`wrote ${options.out}\n`);
    else if (result.topics.length > 0)
      out(config === null ? result.suggestion : `\n# Topics that no rule reads:\n${result.suggestion}`);
    else err(`${nothingNew(config !== null, result.heard.messages)}\n`);
  }
}

/** The file with the layers that were pushed to this gateway. */
const effective = (layers: Layered | null): object =>
  layers === null ? {} : { effective: { hash: layers.hash, problem: layers.problem, keys: layers.keys } };

/** There is nothing to suggest. */
function nothingNew(withConfig: boolean, messages: number): string {
  if (messages === 0)
    return 'no message came: do the sensors publish to this broker, and may this user read them? --listen 10m hears the slow ones';
  return withConfig ? 'every topic with numbers is read by a rule' : 'no numbers were heard';
}

/** The daemon forecasts without a model as well, but nobody means that by a misspelt name. */
async function warnOfModel(config: Config, err: Output['err']): Promise<void> {
  const registry = await modelRegistry(config.data_dir);
  if (registry.has(config.model.name) || !canRead(config.data_dir)) return;
  const names = registry.list().map(({ name }) => name);
  err(
    `warning: model.name: there is no model ${config.model.name}, so only naive forecasts would be made; there is ${names.join(', ')}\n`,
  );
}

/** A service's folder is closed to others: what models there are in it, they cannot know. */
function canRead(folder: string): boolean {
  try {
    accessSync(folder, constants.R_OK | constants.X_OK);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT';
  }
}

/** A password or certificate may be put in place later; that it cannot be read now is worth a word, not a failure. */
async function warnOfSecrets(config: Config, err: Output['err']): Promise<void> {
  const { brokerOptions, readSecrets } = await import('../../mqtt/options.ts');
  try {
    readSecrets(brokerOptions(config.mqtt, config.node));
  } catch (error) {
    if (!(error instanceof GatecastError) || error.code !== 'FILE_UNREADABLE') throw error;
    err(`warning: ${error.message}\n`);
  }
}

interface Overheard {
  readonly heard: Heard;
  readonly refused: readonly string[];
  /** With numbers, and without a rule. */
  readonly topics: readonly HeardTopic[];
  readonly suggestion: string;
}

const jsonOf = ({ heard, refused, topics, suggestion }: Overheard): object => ({
  messages: heard.messages,
  streams: heard.streams(),
  rejects: heard.rejects(),
  refused_subscriptions: refused,
  topics_without_rule: topics.map(({ topic, kind }) => ({ topic, kind })),
  suggestion,
});

async function overhear(config: Config | null, broker: string, listenMs: number): Promise<Overheard> {
  const [{ createRouter, reservedTopics }, { suggestConfig }, { Survey }, { Heard }, { listen }, patterns] =
    await Promise.all([
      import('../../config/index.ts'),
      import('../../config/suggest/suggest.ts'),
      import('../../ingest/survey.ts'),
      import('./report.ts'),
      import('./listen.ts'),
      import('../../ingest/pattern.ts'),
    ]);
  const router = config === null ? null : createRouter(config);
  const reserved = reservedTopics(
    config ?? { base: 'gatecast', ignore: [], publish: { discovery_prefix: 'homeassistant' } },
  ).filter(({ unlessNamed }) => !unlessNamed);
  const survey = new Survey();
  const heard = new Heard();
  const message: Listening['message'] = ({ topic, payload, retained }) => {
    survey.announcements.hear(topic, payload);
    const levels = topic.split('/');
    if (reserved.some(({ pattern }) => patterns.matchPattern(pattern, levels) !== null)) return;
    const now = Date.now();
    if (router !== null && router.rulesOf(topic).length > 0)
      heard.add(topic, router.message(topic, payload, now, retained));
    else {
      heard.messages += 1;
      survey.hear(topic, payload, now, retained);
    }
  };
  const refused = await listen({
    options: await brokerOf(config, broker),
    filters: [...new Set([...(router?.filters() ?? []), '#'])],
    until: () => waitFor(listenMs),
    message,
  });
  const topics = survey.topics();
  return { heard, refused, topics, suggestion: suggestConfig(headOf(config, broker), survey) };
}

/** A session of its own name: the daemon's would be thrown off the broker. */
async function brokerOf(config: Config | null, url: string): Promise<Listening['options']> {
  const { brokerOptions, plainBrokerOptions } = await import('../../mqtt/options.ts');
  const clientId = `gatecast-check-${process.pid}`;
  if (config !== null) return { ...brokerOptions(config.mqtt, clientId), clientId, sessionExpiryMs: 0 };
  const { checkBrokerUrl } = await import('../../config/checks.ts');
  const wrong = checkBrokerUrl(url);
  if (wrong !== null) throw new GatecastError('USAGE', `--broker ${wrong}`);
  return plainBrokerOptions(url, clientId);
}

/** What the suggestion takes over from the config, or from the command line. */
function headOf(config: Config | null, url: string): Record<string, unknown> {
  const machine = hostname().replaceAll(/[^A-Za-z0-9_.-]/g, '-');
  const node = config?.node ?? (/^[A-Za-z0-9]/.test(machine) ? machine.slice(0, 63) : 'gateway');
  if (config === null) return { node, mqtt: { url } };
  const { mqtt } = config;
  const kept = ['url', 'username', 'password_file', 'ca', 'cert', 'key'] as const;
  return {
    node,
    mqtt: Object.fromEntries(kept.filter((key) => mqtt[key] !== undefined).map((key) => [key, mqtt[key]])),
  };
}

function waitFor(ms: number): Promise<unknown> {
  return Promise.race([new Promise((resolve) => setTimeout(resolve, ms).unref()), untilSignal()]);
}

function writeNew(path: string, text: string): void {
  try {
    writeFileSync(path, text, { flag: 'wx' });
  } catch (cause) {
    throw unwritable(path, cause);
  }
}
