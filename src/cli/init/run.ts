/** The steps of `gatecast init`: broker, login, listening, config, check, service. */

import { existsSync, readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { checkBrokerUrl } from '../../config/checks.ts';
import { type Config, loadConfig, parseConfig } from '../../config/index.ts';
import { suggestRules } from '../../config/suggest/rules.ts';
import { GatecastError } from '../../errors.ts';
import { prepareOutput, writeOutput } from '../../system/output-file.ts';
import {
  brokerOf,
  type LoginFlags,
  LoginRefused,
  mqttOf,
  openLink,
  PASSWORD_FILE,
  UnknownAuthority,
  withPassword,
} from '../shared/broker.ts';
import { type ListenResult, listenAndSurvey } from '../shared/listen-survey.ts';
import { nodeName } from '../shared/node-name.ts';
import { type CommandOutput, jsonText, many } from '../shared/output.ts';
import { ProgressBar, secondsText } from '../shared/progress.ts';
import type { Terminal } from '../shared/terminal.ts';
import { waitUnlessSignal } from '../shared/until-signal.ts';
import { type FoundBroker, findBrokers, urlOf } from './brokers.ts';
import {
  defaultPath,
  giveToService,
  keepPassword,
  mergedConfig,
  newConfig,
  SYSTEM_CONFIG,
} from './config-file.ts';
import { CREDENTIAL_PATH, keepCredential } from './credential.ts';
import { findingsOf, findingsText, notRead, notReadText, tryOut } from './findings.ts';
import type { InitFlags } from './init.ts';
import { hasService, startService } from './service.ts';

interface InitOutput extends CommandOutput {
  readonly terminal: Terminal;
  /** Finds brokers; for tests. */
  readonly find?: () => Promise<FoundBroker[]>;
}

type Login = LoginFlags & { readonly password?: string };

const LOGIN_ATTEMPTS = 3;

/** @throws GatecastError USAGE, BROKER_UNREACHABLE, FILE_UNWRITABLE, CONFIG_INVALID */
export async function init(flags: InitFlags, output: InitOutput): Promise<void> {
  const { out, err, terminal } = output;
  const path = resolve(flags.config ?? defaultPath());
  const credential = flags.credential === true;
  if (credential && !(path === SYSTEM_CONFIG && hasService()))
    throw new GatecastError(
      'USAGE',
      `there is no service that reads ${path}, and --credential is for the service`,
      { hint: 'leave --credential out' },
    );
  const existing = await mergeInto(path, flags, terminal);
  prepareOutput(path);
  const wanted: Login =
    existing === null ? { ...flags, broker: await chooseBroker(flags, output) } : loginOf(existing, flags);
  const used = await logIn(wanted, err, terminal);
  // The user of the service may not read the file.
  const login = existing === null && path === SYSTEM_CONFIG ? withTypedPassword(used) : used;
  const heard = await listenFor(flags.listen, login, existing, err);
  const { rules } = suggestRules(heard.survey);
  if (rules.length === 0) throw nothingHeard(heard, existing);

  const first = existing?.streams.length ?? 0;
  const text = configText(path, flags, login, heard, existing);
  const made = parseConfig(text, path);
  const tried = tryOut(made, heard.recording);
  const findings = findingsOf(rules, tried, first);
  const rejects = tried.rejects();
  const unread = notRead(made, heard.survey);
  if (!flags.json) {
    out(`${findingsText(findings)}${notReadText(unread)}\n`);
    for (const { topic, reason, detail, count } of rejects.slice(0, 20))
      out(`rejected: ${topic}: ${reason} (${count}) ${detail}\n`);
  }
  if (login.password !== undefined && credential)
    err(`wrote the encrypted password to ${keepCredential(login.password).file}\n`);
  else if (login.password !== undefined)
    err(`wrote the password to ${keepPassword(path, login.password)}, which only its owner may read\n`);
  writeOutput(path, text);
  if (path === SYSTEM_CONFIG) giveToService(path);
  // read back, as the service will
  const config = loadConfig(path);
  err(`${existing === null ? 'wrote' : `added ${many(rules.length, 'rule')} to`} ${path}\n`);
  if (flags.json)
    out(
      jsonText({
        config: path,
        broker: config.mqtt.url,
        findings,
        streams: tried.streams().map(({ stream, unit, count }) => ({ stream, unit, count })),
        rejects,
        not_read: unread,
      }),
    );
  await offerStart(path, flags, err, terminal, existing === null ? WHAT_FOLLOWS : '');
}

/** The config to add to, or null for a new one. */
async function mergeInto(path: string, flags: InitFlags, terminal: Terminal): Promise<Config | null> {
  if (!existsSync(path)) return null;
  const merge =
    flags.merge === true ||
    (terminal.interactive &&
      (await terminal.confirm(`${path} exists. Add rules for topics that it does not read?`)));
  if (!merge)
    throw new GatecastError('USAGE', `${path} exists`, {
      hint: '--merge adds rules for topics that it does not read; -c names another file',
    });
  return loadConfig(path);
}

async function chooseBroker(
  flags: InitFlags,
  { err, terminal, find = findBrokers }: InitOutput,
): Promise<string> {
  if (flags.broker !== undefined) return flags.broker;
  err('looking for brokers: on this machine, and by mDNS\n');
  const found = await find();
  for (const [at, { url, from }] of found.entries()) err(`  ${at + 1}  ${url}  (${from})\n`);
  if (terminal.interactive && found.length === 0) err('  none was found\n');
  if (!terminal.interactive) {
    const [only, ...others] = found;
    const local = found.find(({ from }) => from === 'this machine');
    if (local !== undefined) return local.url;
    if (only !== undefined && others.length === 0) return only.url;
    throw new GatecastError(
      'USAGE',
      only === undefined ? 'no broker was found' : 'several brokers were found',
      { hint: 'name one: --broker mqtt://192.168.1.5:1883' },
    );
  }
  for (;;) {
    const answer =
      found.length === 0
        ? await terminal.ask('URL of the broker, such as mqtt://192.168.1.5')
        : await terminal.ask('number or URL of the broker', '1');
    const chosen = /^\d*$/.test(answer) ? (found[Number(answer) - 1]?.url ?? '') : answer;
    const url = urlOf(chosen);
    const wrong = chosen === '' ? 'is not in the list' : checkBrokerUrl(url);
    if (wrong === null) return url;
    err(answer === '' ? 'an answer is needed\n' : `'${answer}' ${wrong}\n`);
  }
}

/** The login of a config, overridden by options. */
function loginOf({ mqtt }: Config, flags: InitFlags): Login {
  return {
    broker: flags.broker ?? mqtt.url,
    username: flags.username ?? mqtt.username,
    passwordFile: flags.passwordFile ?? mqtt.password_file,
    ca: flags.ca ?? mqtt.ca,
    cert: flags.cert ?? mqtt.cert,
    key: flags.key ?? mqtt.key,
  };
}

/** Tries the login; if the broker refuses, asks for user name and password; if its certificate is not trusted, for the authority. */
async function logIn(wanted: Login, err: InitOutput['err'], terminal: Terminal): Promise<Login> {
  let login = await withPassword(wanted, terminal);
  for (let attempt = 1; ; attempt += 1) {
    try {
      await (await openLink(await brokerOf(login, 'init'), () => {})).close();
      return login;
    } catch (error) {
      if (!terminal.interactive || attempt === LOGIN_ATTEMPTS) throw error;
      if (error instanceof UnknownAuthority && login.ca === undefined) {
        err(`${error.message}\n`);
        const ca = await terminal.ask(
          'file of the authority that signed the certificate of the broker (PEM)',
        );
        if (ca === '') throw error;
        login = { ...login, ca };
        continue;
      }
      if (!(error instanceof LoginRefused)) throw error;
      err(login.username === undefined ? `${login.broker} requires a login\n` : `${error.message}\n`);
    }
    const username = await terminal.ask('user name', login.username);
    const password = await terminal.secret(`password of ${username}`);
    const { broker, ca, cert, key } = login;
    login = { broker, ca, cert, key, username, password };
  }
}

function withTypedPassword(login: Login): Login {
  if (login.password !== undefined || login.passwordFile === undefined) return login;
  const { passwordFile, ...others } = login;
  const password = readFileSync(passwordFile, 'utf8').replace(/\r?\n$/, '');
  return { ...others, password };
}

async function listenFor(
  listenMs: number,
  login: Login,
  config: Config | null,
  err: InitOutput['err'],
): Promise<ListenResult> {
  err(`listening for ${secondsText(listenMs / 1000)}; Ctrl-C ends it early\n`);
  const { isTTY = false, columns } = process.stderr;
  const bar = new ProgressBar({ isTTY, columns, write: err });
  const began = performance.now();
  try {
    return await listenAndSurvey({
      options: await brokerOf(login, 'init'),
      config,
      until: () => waitUnlessSignal(listenMs, ['SIGINT']),
      progress: (messages, topics) => {
        const passedMs = performance.now() - began;
        const left = secondsText(Math.max(0, (listenMs - passedMs) / 1000));
        bar.update(
          passedMs / listenMs,
          `${left} left, ${many(messages, 'message')} on ${many(topics, 'topic')}`,
        );
      },
    });
  } finally {
    bar.end();
  }
}

function nothingHeard({ heard, refused }: ListenResult, existing: Config | null): GatecastError {
  if (refused.length > 0)
    return new GatecastError(
      'BROKER_UNREACHABLE',
      `the broker refused the subscription to ${refused.join(', ')}`,
      { hint: 'check the access list of the broker for this user' },
    );
  if (existing !== null && heard.messages > 0)
    return new GatecastError('USAGE', 'every topic with measurements is already read by a rule', {
      hint: 'no rule was added',
    });
  return new GatecastError(
    'USAGE',
    heard.messages === 0 ? 'no message arrived' : 'no message contained a measurement',
    {
      hint: 'check that the sensors publish to this broker and that this user may read them; --listen 10m waits for slow sensors',
    },
  );
}

function configText(
  path: string,
  flags: InitFlags,
  login: Login,
  { survey, heard }: ListenResult,
  existing: Config | null,
): string {
  if (existing !== null) {
    const names = heard.streams().map(({ stream }) => stream);
    return mergedConfig(readFileSync(path, 'utf8'), survey, names).text;
  }
  const mqtt = mqttOf(
    login.password === undefined
      ? login
      : {
          ...login,
          passwordFile: flags.credential === true ? CREDENTIAL_PATH : resolve(dirname(path), PASSWORD_FILE),
        },
  );
  const own = path === SYSTEM_CONFIG ? {} : { data_dir: './gatecast-data' };
  return newConfig({ node: flags.node ?? nodeName(), mqtt, ...own }, survey);
}

/** A new config leaves `http.listen` and `base` at their defaults. */
const WHAT_FOLLOWS = `then: the page is on http://127.0.0.1:8787; forecasts come on gatecast/+/forecast/# from the end of the first
interval on, and are based on the last value alone until there is some history
`;

async function offerStart(
  path: string,
  flags: InitFlags,
  err: InitOutput['err'],
  terminal: Terminal,
  follows: string,
): Promise<void> {
  const possible = path === SYSTEM_CONFIG && hasService();
  if (!possible) {
    if (flags.start === true)
      throw new GatecastError('USAGE', `no service reads ${path}`, {
        hint: `run it without a service: gatecast run -c ${path}`,
      });
    err(`next: gatecast run -c ${path}\n${follows}`);
    return;
  }
  const start = flags.start ?? (terminal.interactive && (await terminal.confirm('start the service now?')));
  if (!start) {
    err(`next: systemctl start gatecast\n${follows}`);
    return;
  }
  const wrong = startService();
  if (wrong !== null)
    throw new GatecastError('USAGE', `the service did not start: ${wrong}`, {
      hint: 'journalctl -u gatecast',
    });
  err(`the service runs: journalctl -fu gatecast\n${follows}`);
}
