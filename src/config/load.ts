/** Reads and validates a config, from a file or from data received over the broker. */
import { dirname, resolve } from 'node:path';
import { GatecastError, type Issue } from '../errors.ts';
import { readBounded, readInput } from '../system/files.ts';
import { type ConfigDocument, type PathPart, parseConfigText, statedValues } from './document.ts';
import { readableIssues } from './issues.ts';
import { type Config, configSchema } from './schema.ts';
import { checkWhole } from './whole-checks.ts';

/** Maximum size of a config file; a config of 10,000 streams is smaller. */
const MOST_CONFIG_BYTES = 2 ** 24;

const HINT = 'docs/config.md lists every key and its allowed values';

interface Environment {
  readonly GATECAST_DATA_DIR?: string | undefined;
}

/** The content of a config file, and the validated config. */
export interface ReadConfig {
  readonly document: Readonly<Record<string, unknown>>;
  readonly config: Config;
}

/**
 * Reads and validates a YAML or JSON file. `GATECAST_DATA_DIR` overrides `data_dir`, which is relative to the file.
 * Throws GatecastError FILE_UNREADABLE, or CONFIG_INVALID with an issue for every wrong key.
 */
export function loadConfig(path: string, environment: Environment = {}): Config {
  return readConfig(path, environment).config;
}

/** As `loadConfig`, but also returns the content of the file. */
export function readConfig(path: string, environment: Environment = {}): ReadConfig {
  const hint =
    'check that it exists and that this user may read it; deploy/examples/gatecast.yaml is an example';
  const text = readInput(path, MOST_CONFIG_BYTES, `cannot read the config ${path}`, hint).toString('utf8');
  const { value, config } = parsed(text, path);
  const dataDir = environment.GATECAST_DATA_DIR || resolve(dirname(path), config.data_dir);
  return { document: value as ReadConfig['document'], config: { ...config, data_dir: dataDir } };
}

/** The log format and the node name in a config file that cannot be used, as far as they can be read. */
export function statedLog(path: string): { readonly json: boolean; readonly node: string | undefined } {
  try {
    const read = statedValues(readBounded(path, MOST_CONFIG_BYTES).toString('utf8'));
    const node = read(['node']);
    return { json: read(['log', 'format']) === 'json', node: typeof node === 'string' ? node : undefined };
  } catch {
    return { json: false, node: undefined };
  }
}

/** Validates the text of a YAML or JSON config; `name` is used in errors. Throws GatecastError CONFIG_INVALID. */
export function parseConfig(text: string, name = 'the config'): Config {
  return parsed(text, name).config;
}

function parsed(text: string, name: string): { value: unknown; config: Config } {
  const document = parseConfigText(text);
  if (document.issues.length > 0) throw invalid(name, document.issues);
  return { value: document.value, config: validate(document.value, name, document.lineOf) };
}

/** Validates data as a config, such as the `config` of a remote push. Throws GatecastError CONFIG_INVALID. */
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
  const count = issues.length === 1 ? '1 problem' : `${issues.length} problems`;
  return new GatecastError('CONFIG_INVALID', `${name}: ${count}`, { hint: HINT, issues });
}
