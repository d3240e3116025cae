/** Reads and validates a config, from a file or from data received over the broker. */
import { dirname, resolve } from 'node:path';
import { GatecastError, type Issue } from '../errors.ts';
import { readBounded, readInput } from '../system/files.ts';
import { type LineOf, parseConfigText, statedValues } from './document.ts';
import { readableIssues } from './issues.ts';
import { type Config, configSchema } from './schema.ts';
import { checkWhole } from './whole-checks.ts';

/** Maximum size of a config file; a config of 10,000 streams is smaller. */
const MOST_CONFIG_BYTES = 2 ** 24;

const HINT = 'docs/config.md lists every key and its allowed values';

/** Keys that name a file or a folder; `*` stands for every entry of a list. */
export const PATH_KEYS = [
  'data_dir',
  ...['password_file', 'ca', 'cert', 'key'].map((key) => `mqtt.${key}`),
  'http.token_file',
  ...['keys', 'ca'].map((key) => `remote_config.${key}`),
  ...['password_file', 'credentials_file', 'tls.ca_file', 'tls.cert_file', 'tls.key_file'].map(
    (key) => `site.${key}`,
  ),
  'streams.*.covariates.*.file',
].map((key) => key.split('.'));

interface Environment {
  readonly GATECAST_DATA_DIR?: string | undefined;
}

/** The content of a config file, its folder, and the validated config. */
export interface ReadConfig {
  readonly document: Readonly<Record<string, unknown>>;
  readonly folder: string;
  readonly config: Config;
}

/**
 * Reads and validates a YAML or JSON file; its relative paths become absolute. `GATECAST_DATA_DIR` overrides `data_dir`.
 * Throws GatecastError FILE_UNREADABLE, or CONFIG_INVALID with an issue for every wrong key.
 */
export function loadConfig(path: string, environment: Environment = {}): Config {
  return readConfig(path, environment).config;
}

/** As `loadConfig`, but also returns the content of the file. */
export function readConfig(path: string, environment: Environment = {}): ReadConfig {
  const hint = 'check that it exists and that this user may read it; `gatecast init` writes one';
  const text = readInput(path, MOST_CONFIG_BYTES, `cannot read the config ${path}`, hint).toString('utf8');
  const folder = resolve(dirname(path));
  const { value, config } = parsed(text, path, folder);
  const dataDir = environment.GATECAST_DATA_DIR || config.data_dir;
  return { document: value as ReadConfig['document'], folder, config: { ...config, data_dir: dataDir } };
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

function parsed(text: string, name: string, folder?: string): { value: unknown; config: Config } {
  const document = parseConfigText(text);
  if (document.issues.length > 0) throw invalid(name, document.issues);
  return { value: document.value, config: validate(document.value, name, folder, document.lineOf) };
}

/**
 * Validates data as a config, such as the `config` of a remote push. Throws GatecastError CONFIG_INVALID.
 * @param folder to which paths in it are relative
 */
export function validateConfig(value: unknown, name = 'the config', folder?: string): Config {
  return validate(value, name, folder, () => null);
}

function validate(given: unknown, name: string, folder: string | undefined, lineOf: LineOf): Config {
  const value =
    folder === undefined
      ? given
      : PATH_KEYS.reduce<unknown>(
          (document, path) => mapAt(document, path, (file) => resolve(folder, file)),
          given,
        );
  if (value === null || value === undefined)
    throw invalid(name, [{ path: '', message: 'is empty; it needs `node`, `mqtt.url` and `streams`' }]);
  const parsed = configSchema.safeParse(value);
  if (!parsed.success) throw invalid(name, readableIssues(parsed.error.issues, value, lineOf));
  const issues = checkWhole(parsed.data, lineOf);
  if (issues.length > 0) throw invalid(name, issues);
  return parsed.data;
}

/** A copy of `value` with `change` applied to the texts at `path`. Other types are left to validation. */
function mapAt(value: unknown, [key, ...rest]: readonly string[], change: (text: string) => string): unknown {
  if (key === undefined) return typeof value === 'string' && value !== '' ? change(value) : value;
  if (key === '*')
    return Array.isArray(value) ? value.map((entry: unknown) => mapAt(entry, rest, change)) : value;
  if (typeof value !== 'object' || value === null || Array.isArray(value) || !Object.hasOwn(value, key))
    return value;
  return { ...value, [key]: mapAt((value as Record<string, unknown>)[key], rest, change) };
}

/** The files that a config names, and their keys, such as `streams[].covariates[].file`. */
export function namedFiles(config: Config): { readonly key: string; readonly path: string }[] {
  const found: { key: string; path: string }[] = [];
  for (const keys of PATH_KEYS.filter(([key]) => key !== 'data_dir'))
    mapAt(config, keys, (path) => {
      found.push({ key: keys.join('.').replaceAll('.*', '[]'), path });
      return path;
    });
  return found;
}

function invalid(name: string, issues: readonly Issue[]): GatecastError {
  const count = issues.length === 1 ? '1 problem' : `${issues.length} problems`;
  return new GatecastError('CONFIG_INVALID', `${name}: ${count}`, { hint: HINT, issues });
}
