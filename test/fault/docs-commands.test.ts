/**
 * The shell commands of the documents for owners, line by line and in their order: those of the code blocks, and those within the text.
 * Each page begins on a new machine (docs-machine.ts). A command must end with 0; the table below adds what it must print, what the reader
 * did before it, and which commands run until they are stopped. Only durations are shortened.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { ensureBuilt } from '../support/daemon.ts';
import { tempDirs } from '../support/temp.ts';
import { hasMachine, type Machine, startMachine } from './docs-machine.ts';

const tempDir = tempDirs();
const CONFIG = '/etc/gatecast/gatecast.yaml';

/** Programs whose commands within the text are run as well. */
const PROGRAM = /^(sudo|gatecast|mosquitto_sub|systemctl|journalctl|apt|man|curl) (?!<|status$|runs$)\S/;
/** Words that stand for a value of the reader. */
const PLACEHOLDERS: Readonly<Record<string, string>> = {
  FILE: CONFIG,
  STREAM: 'cellar/temperature',
  BROKER: '127.0.0.1',
  URL: 'mqtt://127.0.0.1:1883',
  NAME: 'gatecast',
};

function commandsOf(page: string): string[] {
  const text = readFileSync(page, 'utf8');
  const commands: string[] = [];
  let inside: string | null = null;
  for (const line of text.split('\n')) {
    const fence = /^ *```(\w*)/.exec(line);
    if (fence !== null) inside = inside === null ? (fence[1] ?? '') : null;
    else if (inside === 'sh' || inside === 'bash') commands.push(line.trim());
    else if (inside === null)
      for (const [, code = ''] of line.matchAll(/`([^`]+)`/g)) if (PROGRAM.test(code)) commands.push(code);
  }
  return commands.filter((line) => line !== '');
}

const MENTION = /^gatecast (?!init|doctor|model list)[a-z]+( [a-z-]+)?$/;

/** The command with values for its placeholders, and with short durations. */
function ready(command: string): string {
  // A command that the text only names: it exists.
  if (MENTION.test(command)) return `${command} --help`;
  let line = command.replace(/\b[A-Z]{3,}\b/g, (word) => PLACEHOLDERS[word] ?? word);
  line = line
    .replace(/--listen \S+/, '--listen 6s')
    .replace(/ -W \d+/, ' -W 6')
    .replace(/--speed \d+/, '--speed 3600000');
  return /\bgatecast init\b(?!.*--listen)/.test(line)
    ? line.replace('gatecast init', 'gatecast init --listen 6s')
    : line;
}

interface Rule {
  readonly command: RegExp;
  /** What the page tells the reader to do by hand before the command. */
  readonly before?: (machine: Machine, dir: string, page: string) => Promise<unknown> | unknown;
  /** In the output. */
  readonly prints?: RegExp;
  /** It does not end by itself; it is stopped when the pattern is in its output. */
  readonly until?: RegExp;
  /** It goes on until the next command, which needs it, has ended. */
  readonly stays?: true;
  /** Its questions are answered with the return key. */
  readonly answers?: true;
  readonly cwd?: string;
  /** Exit codes besides 0. */
  readonly codes?: readonly number[];
}

/** The config that the page shows, in its folder. */
function writeShown(dir: string, page: string): void {
  const [, shown = ''] = /```yaml\n# gatecast.yaml\n([\s\S]*?)```/.exec(readFileSync(page, 'utf8')) ?? [];
  writeFileSync(
    join(dir, 'gatecast.yaml'),
    shown.replace('interval: 5m', 'interval: 2s').replace('24h', '20s'),
  );
}
/** A machine on which gatecast has been installed and forecasts. */
async function installed(machine: Machine): Promise<void> {
  await machine.run('sudo apt install ./gatecast_NEW.deb');
  const made = await machine.run('sudo gatecast init --listen 6s --yes --start');
  if (made.code !== 0) throw new Error(made.output);
  const end = await machine.watch("mosquitto_sub -v -t 'gatecast/cellar/forecast/cellar/temperature'", /p50/);
  await end();
}
/** Adds the config that the page shows, and restarts the service. */
async function configure(machine: Machine, page: string, shown: RegExp): Promise<void> {
  const [text = ''] = shown.exec(readFileSync(page, 'utf8')) ?? [];
  const { code, output } = await machine.run(
    `printf '%s' '${text}' >> ${CONFIG} && sudo systemctl restart gatecast`,
  );
  if (code !== 0) throw new Error(output);
}
const rows = (dir: string): void => {
  const lines = Array.from({ length: 400 }, (_, hour) => {
    const time = new Date(Date.UTC(2025, 0, 1, hour)).toISOString();
    return `${time},${(20 + 3 * Math.sin(hour / 4)).toFixed(2)}`;
  });
  writeFileSync(join(dir, 'plant.csv'), `time,load\n${lines.join('\n')}\n`);
};

const RULES: readonly Rule[] = [
  {
    command: /^sudo gatecast init\b(?!.* -)/,
    before: (machine) => machine.run(`rm -f ${CONFIG}`),
    answers: true,
    prints: /Zigbee2MQTT +2 +4[\s\S]*the service runs/,
  },
  {
    command: /^gatecast init$/,
    before: (machine) => machine.run(`rm -f ${CONFIG} gatecast.yaml`),
    answers: true,
    prints: /wrote .*gatecast\.yaml/,
  },
  {
    command: /gatecast init --broker mqtts/,
    before: (machine, dir) => {
      writeFileSync(join(dir, 'pw'), 'secret\n', { mode: 0o600 });
      return machine.run(`rm ${CONFIG}`);
    },
    prints: /the service runs/,
  },
  {
    command: /gatecast init --merge/,
    before: (machine) =>
      machine.run(
        `mosquitto_pub -r -t tele/meter/SENSOR -m '{"Time": "2025-01-01T00:00:00", "ENERGY": {"Power": 12}}'`,
      ),
    prints: /added 1 rule/,
  },
  { command: /gatecast init --credential/, before: (machine) => machine.run(`rm ${CONFIG}`) },
  { command: /gatecast init -c gatecast.yaml/, prints: /wrote .*gatecast\.yaml/ },
  {
    command: /^gatecast check -c gatecast\.yaml --listen/,
    before: (_, dir, page) => writeShown(dir, page),
    prints: /cellar\/temperature/,
  },
  { command: /^gatecast run -c/, until: / subscribed /, stays: true },
  { command: /gatecast check -c \S+ --listen/, prints: /cellar\/temperature/ },
  { command: /gatecast check --listen/, before: (_, dir) => writeFileSync(join(dir, 'pw'), 'secret\n') },
  { command: /gatecast inspect \w/, prints: /temperature/ },
  { command: /gatecast explain/, prints: /temperature/ },
  // In the clone.
  { command: /^sudo deploy\/|^podman build/, cwd: resolve('.') },
  { command: /gatecast backtest/, before: (_, dir) => rows(dir), prints: /MASE/ },
  { command: /gatecast config show/, prints: /streams\.\S+ +.* file/ },
  // A new gateway has neither a former model nor enough readings.
  { command: /gatecast request rollback-model/, codes: [1], prints: /no former model|NO_FORMER|previous/i },
  { command: /gatecast request finetune/, codes: [1], prints: /NOT_ENOUGH_DATA/ },
  { command: /gatecast request \S+ --to/, prints: /^ok / },
  { command: /gatecast model list/, prints: /base/ },
  // The commands after it read what was stored.
  {
    command: /mosquitto_sub -v -t 'gatecast\/cellar\/#'/,
    until: /(forecast\/cellar\/temperature \{[\s\S]*){5}/,
  },
  { command: /mosquitto_sub .*gatecast\/\S*(forecast|cellar\/#)/, until: /forecast\/\S+ \{.*"p50":\[/ },
  // There may be no alert.
  { command: /mosquitto_sub -v -t 'gatecast\/\+\/alert/, codes: [27] },
  { command: /mosquitto_sub .*-W/, codes: [27], prints: /^(gatecast|homeassistant)\// },
  { command: /mosquitto_sub .*homeassistant/, until: /homeassistant\/device\/\S+\/config \{/ },
  {
    command: /mosquitto_sub .*spBv1/,
    before: (machine, _, page) => configure(machine, page, /sparkplug: .*\n/),
    until: /NBIRTH|DBIRTH|DDATA/,
  },
  { command: /journalctl/, prints: / subscribed / },
  {
    command: /curl .*\/metrics/,
    before: (machine, _, page) => configure(machine, page, /http:\n {2}listen: :8787\n {2}token_file: .*\n/),
    cwd: '/etc/gatecast',
    prints: /^gatecast_/m,
  },
];

describe.skipIf(!hasMachine)('the commands of the documents', () => {
  beforeAll(() => ensureBuilt());

  it.each([
    'README.md',
    'docs/install.md',
    'docs/operations.md',
    'docs/troubleshooting.md',
    'docs/home-assistant.md',
    'docs/sparkplug.md',
    'docs/page.md',
  ])('%s', async (page) => {
    const dir = tempDir();
    const machine = await startMachine(dir);
    try {
      if (!['README.md', 'docs/install.md'].includes(page)) await installed(machine);
      let held = async (): Promise<void> => {};
      for (const command of commandsOf(page)) {
        const line = ready(command);
        const rule = MENTION.test(command) ? undefined : RULES.find((one) => one.command.test(command));
        await rule?.before?.(machine, dir, page);
        if (rule?.until !== undefined) {
          const end = await machine.watch(line, rule.until, dir);
          await held();
          held = async () => {};
          if (rule.stays === true) held = end;
          else await end();
          continue;
        }
        const { code, output } = await machine.run(line, {
          cwd: rule?.cwd ?? dir,
          answers: rule?.answers === true,
        });
        expect([0, ...(rule?.codes ?? [])], `${line}\n${output}`).toContain(code);
        if (rule?.prints !== undefined) expect(output, line).toMatch(rule.prints);
      }
    } finally {
      machine.stop();
    }
  });
});
