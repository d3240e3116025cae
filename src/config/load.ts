/** From a file, or from data that came over the broker, to a complete and checked config. */
import { dirname, resolve } from 'node:path';
import { errorText, GatecastError, type Issue } from '../errors.ts';
import { readBounded } from '../system/files.ts';
import { type ConfigDocument, type PathPart, parseConfigText } from './document.ts';
import { readableIssues } from './issues.ts';
import { type Config, configSchema } from './schema.ts';
import { checkWhole } from './whole-checks.ts';

/** A config of 10,000 streams has less than this. */
const MOST_CONFIG_BYTES = 2 ** 24;

const HINT = 'docs/config.md lists every key, with what is allowed';

export interface Environment {
  readonly GATECAST_DATA_DIR?: string | undefined;
}

/** A config file as it is written, and the config that it gives. */
export interface ReadConfig {
  readonly document: Readonly<Record<string, unknown>>;
  readonly config: Config;
}

/**
 * Reads and checks a YAML or JSON file. `GATECAST_DATA_DIR` goes before `data_dir`, which is relative to the file.
 * Throws GatecastError FILE_UNREADABLE, or CONFIG_INVALID with an issue for every wrong key.
 */
export function loadConfig(path: string, environment: Environment = {}): Config {
  return readConfig(path, environment).config;
}

/** As `loadConfig`, with the file's plain data. */
export function readConfig(path: string, environment: Environment = {}): ReadConfig {
  let text: string;
  try {
    text = readBounded(path, MOST_CONFIG_BYTES).toString('utf8');
  } catch (cause) {
    throw new GatecastError('FILE_UNREADABLE', `cannot read the config ${path}: ${errorText(cause)}`, {
      hint: 'does it exist, and may this user read it? deploy/examples/gatecast.yaml is one to begin with',
      cause,
    });
  }
  const { value, config } = parsed(text, path);
  const dataDir = environment.GATECAST_DATA_DIR || resolve(dirname(path), config.data_dir);
  return { document: value as ReadConfig['document'], config: { ...config, data_dir: dataDir } };
}

/** Checks the text of a YAML or JSON config; `name` is what errors call it. Throws GatecastError CONFIG_INVALID. */
export function parseConfig(text: string, name = 'the config'): Config {
  return parsed(text, name).config;
}

function parsed(text: string, name: string): { value: unknown; config: Config } {
  const document = parseConfigText(text);
  if (document.issues.length > 0) throw invalid(name, document.issues);
  return { value: document.value, config: validate(document.value, name, document.lineOf) };
}

/** Checks data that is a config, such as the `config` of a remote push. Throws GatecastError CONFIG_INVALID. */
export function validateConfig(value: unknown, name = 'the config'): Config {
  return validate(value, name, () => null);
}

function validate(value: unknown, name: string, lineOf: ConfigDocument['lineOf']): Config {
  if (value === null || value === undefined)
    throw invalid(name, [{ path: '', message: 'is empty; it needs `node`, `mqtt.url` and `streams`' }]);
  const parsed = configSchema.safeParse(value);
  if (!parsed.success) throw invalid(name, readableIssues(parsed.error.issues, value, lineOf));
  const issues = checkWhole(parsed.data, (path: readonly PathPart[]) => lineOf(path));
  if (issues.length > 0) throw invalid(name, issues);
  return parsed.data;
}

function invalid(name: string, issues: readonly Issue[]): GatecastError {
  const count = issues.length === 1 ? 'one thing is' : `${issues.length} things are`;
  return new GatecastError('CONFIG_INVALID', `${name}: ${count} wrong`, { hint: HINT, issues });
}
