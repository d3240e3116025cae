/**
 * Layers of the effective config: defaults < file < fleet groups in order < node < local-only keys of the file. In a remote
 * layer `streams` is an object keyed by rule id; null removes a value of a lower layer. The file is never changed. No I/O.
 */
import { type Config, configHash, ruleIds, validateConfig } from '../config/index.ts';
import { jsonSchema } from '../config/issues.ts';
import { errorText, GatecastError, type Issue } from '../errors.ts';
import type { Code, LayerName, Problem } from './contract.ts';
import { isObject, type JsonObject, mergePatch } from './merge-patch.ts';
import { problem } from './verify.ts';

/** By layer name; absent layers change nothing. */
export type Layers = Readonly<Record<string, JsonObject>>;

/** Keys that only the local file may set, including nested keys. */
export const LOCAL_ONLY = [
  'node',
  'base',
  'data_dir',
  'remote_config',
  'http.listen',
  'http.token_file',
  'http.user_header',
  'http.trusted_proxies',
  'http.frame_ancestors',
  'mqtt.password_file',
  'mqtt.ca',
  'mqtt.cert',
  'mqtt.key',
  'site.password_file',
  'site.credentials_file',
  'site.tls.ca_file',
  'site.tls.cert_file',
  'site.tls.key_file',
  'requests.signed',
] as const;

/** Names of a gateway's layers, lowest first. */
export const layerOrder = (groups: readonly string[]): LayerName[] => [
  ...groups.map((group): LayerName => `fleet:${group}`),
  'node',
];

export interface Effective {
  /** In the form of a config file. */
  readonly document: JsonObject;
  readonly config: Config;
  readonly hash: string;
}

export interface LocalFile {
  /** The file's plain data. */
  readonly document: JsonObject;
  /** The file's folder, to which paths in the config are relative. */
  readonly folder?: string | undefined;
  /** `GATECAST_DATA_DIR`, which overrides the file. */
  readonly dataDir?: string | undefined;
}

const UNKNOWN_RULE =
  'is missing, and the local file has no rule with this id; give an id of the file, or `match` for a new rule; null removes the rule from the push';

/** @throws GatecastError CONFIG_INVALID whose issues name rules by id */
export function effectiveConfig(file: LocalFile, layers: Layers, order: readonly LayerName[]): Effective {
  const document = effectiveDocument(file.document, layers, order);
  const ids = rawIds(document.streams);
  let config: Config;
  try {
    config = validateConfig(document, 'the effective config', file.folder);
  } catch (error) {
    if (!(error instanceof GatecastError) || error.code !== 'CONFIG_INVALID') throw error;
    const known = rulesById(file.document.streams);
    const issues = error.issues.map((issue) => {
      const path = withIds(issue.path, ids);
      const id = /^streams\.(.*)\.match$/.exec(path)?.[1];
      const isUnknown = id !== undefined && /^is missing/.test(issue.message) && !Object.hasOwn(known, id);
      return { path, message: isUnknown ? UNKNOWN_RULE : issue.message };
    });
    throw new GatecastError('CONFIG_INVALID', error.message, { hint: error.hint, issues, cause: error });
  }
  if (file.dataDir !== undefined) config = { ...config, data_dir: file.dataDir };
  return { document, config, hash: configHash(config) };
}

/** As `effectiveConfig`; the problems of an invalid config are returned. */
export function tryEffective(
  file: LocalFile,
  layers: Layers,
  order: readonly LayerName[],
): Effective | { readonly problems: readonly Problem[] } {
  try {
    return effectiveConfig(file, layers, order);
  } catch (error) {
    const issues = error instanceof GatecastError ? error.issues : [];
    return { problems: issues.length > 0 ? problemsOf(issues) : [problem('', errorText(error))] };
  }
}

export function effectiveDocument(file: JsonObject, layers: Layers, order: readonly LayerName[]): JsonObject {
  const used = order.map((name) => layers[name]).filter((layer) => layer !== undefined);
  if (used.length === 0) return file;
  let document: unknown = withoutStreams(file);
  let rules: unknown = rulesById(file.streams);
  for (const layer of used) {
    document = mergePatch(document, withoutStreams(layer));
    if (layer.streams !== undefined) rules = mergePatch(rules, layer.streams);
  }
  const withLocal = LOCAL_ONLY.reduce(
    (merged, path) => withValue(merged, path.split('.'), valueAt(file, path.split('.'))),
    document as JsonObject,
  );
  return { ...withLocal, streams: isObject(rules) ? listOf(rules, file.streams) : rules };
}

export function nextLayer(
  layer: JsonObject | undefined,
  { config, patch }: { readonly config?: JsonObject | undefined; readonly patch?: JsonObject | undefined },
): JsonObject {
  if (config !== undefined) return config;
  if (patch === undefined) return layer ?? {};
  const merged = mergePatch(layer ?? {}, patch) as JsonObject;
  if (!isObject(patch.streams)) return merged;
  // null is kept in the layer, because it must also remove the file's rule
  const removed = Object.entries(patch.streams).filter(([, rule]) => rule === null);
  const streams = { ...(isObject(merged.streams) ? merged.streams : {}), ...Object.fromEntries(removed) };
  return Object.keys(streams).length === 0 ? merged : { ...merged, streams };
}

/** Problems of a layer that validation of the merged config cannot find; code 403 for local-only keys. */
export function checkLayer(
  given: JsonObject,
): { readonly code: Code; readonly problems: readonly Problem[] } | null {
  const local = LOCAL_ONLY.filter((path) => valueAt(given, path.split('.')) !== undefined).map((path) =>
    problem(path, 'may be set in the local file only', 'remove it from the push; change it on the gateway'),
  );
  const wrong = checkStreams(given.streams);
  if (local.length > 0) return { code: 403, problems: [...local, ...wrong] };
  return wrong.length > 0 ? { code: 400, problems: wrong } : null;
}

function checkStreams(streams: unknown): Problem[] {
  if (streams === undefined) return [];
  if (!isObject(streams))
    return [
      problem(
        'streams',
        streams === null
          ? 'must not be null: a gateway without rules forecasts nothing'
          : 'must be an object keyed by the id of the rule',
        'name single rules, such as {"streams": {"pumps": {"horizon": "48h"}}}; null removes one',
      ),
    ];
  return Object.entries(streams).flatMap(([id, rule]) => {
    if (!isObject(rule))
      return rule === null ? [] : [problem(`streams.${id}`, 'must be an object, or null to remove the rule')];
    return rule.id === undefined || rule.id === id
      ? []
      : [problem(`streams.${id}.id`, `must be "${id}", the key of the rule`)];
  });
}

/** Converts the issues of an invalid config to problems of a push. */
function problemsOf(issues: readonly Issue[]): Problem[] {
  return issues.map(({ path, message }) => {
    const [text = message, ...rest] = message.split(/; did you mean|; give |\. Allowed here/);
    const hint = message.slice(text.length).replace(/^[;.] /, '');
    return problem(path, text, rest.length > 0 ? hint : 'see docs/config.md for allowed values');
  });
}

export interface KeyOrigin {
  /** `streams.<id>.horizon` */
  readonly path: string;
  readonly value: unknown;
  /** `environment`: `GATECAST_DATA_DIR` or `--data-dir`. */
  readonly origin: 'default' | 'file' | 'environment' | LayerName;
}

/**
 * Every key of the effective config with its value, in the form of a config file, and the origin of the value.
 * @param dataDir from the environment; omitted: from the file
 */
export function keyOrigins(
  file: JsonObject,
  layers: Layers,
  order: readonly LayerName[],
  dataDir?: string,
): KeyOrigin[] {
  const document = effectiveDocument(file, layers, order);
  const fileById = { ...file, streams: rulesById(file.streams) };
  const sources = order
    .flatMap((name) => {
      const tree = layers[name];
      return tree === undefined ? [] : [{ name, tree }];
    })
    .reverse();
  const originOf = (path: readonly string[]): KeyOrigin['origin'] => {
    if (LOCAL_ONLY.some((local) => `${path.join('.')}.`.startsWith(`${local}.`))) return 'file';
    const layer = sources.find(({ tree }) => valueAt(tree, path) !== undefined);
    return layer?.name ?? (valueAt(fileById, path) === undefined ? 'default' : 'file');
  };
  const found: KeyOrigin[] = [];
  const walk = (schema: unknown, value: unknown, path: readonly string[]): void => {
    const properties = isObject(schema) ? schema.properties : undefined;
    if (isObject(properties) && (value === undefined || isObject(value))) {
      for (const [key, inner] of Object.entries(properties)) walk(inner, value?.[key], [...path, key]);
      return;
    }
    const preset = isObject(schema) ? schema.default : undefined;
    if (value !== undefined) found.push({ path: path.join('.'), value, origin: originOf(path) });
    else if (preset !== undefined) found.push({ path: path.join('.'), value: preset, origin: 'default' });
  };
  const root = jsonSchema() as { readonly properties?: Readonly<Record<string, unknown>> };
  for (const [key, schema] of Object.entries(root.properties ?? {})) {
    if (key !== 'streams') walk(schema, document[key], [key]);
    else if (Array.isArray(document.streams)) {
      const ids = rawIds(document.streams);
      const rule = (schema as { readonly items?: unknown }).items;
      for (const [at, value] of document.streams.entries()) walk(rule, value, ['streams', ids[at] ?? '']);
    }
  }
  return found.map((key) =>
    key.path === 'data_dir' && dataDir !== undefined
      ? { ...key, value: dataDir, origin: 'environment' }
      : key,
  );
}

function withoutStreams(tree: JsonObject): JsonObject {
  const { streams: _, ...rest } = tree;
  return rest;
}

/** Ids of the rules of an unvalidated list. */
function rawIds(streams: unknown): string[] {
  if (!Array.isArray(streams)) return [];
  return ruleIds(
    streams.map((rule: unknown) => ({
      id: isObject(rule) && typeof rule.id === 'string' ? rule.id : undefined,
      match: isObject(rule) && typeof rule.match === 'string' ? rule.match : '',
    })),
  );
}

function rulesById(streams: unknown): JsonObject {
  const ids = rawIds(streams);
  return Object.fromEntries(
    (Array.isArray(streams) ? streams : []).map((rule: unknown, at) => [ids[at] ?? '', rule]),
  );
}

/** The file's rules in order, then the new ones, all with explicit ids, so that ids are the same in every layer. */
function listOf(rules: JsonObject, fileStreams: unknown): unknown[] {
  const first = rawIds(fileStreams).filter((id) => Object.hasOwn(rules, id));
  const names = [...first, ...Object.keys(rules).filter((id) => !first.includes(id))];
  return names.map((id) => {
    const rule = rules[id];
    return isObject(rule) ? { id, ...rule } : rule;
  });
}

const withIds = (path: string, ids: readonly string[]): string =>
  path.replace(/^streams\[(\d+)\]/, (whole, at: string) => {
    const id = ids[Number(at)];
    return id === undefined ? whole : `streams.${id}`;
  });

function valueAt(tree: unknown, path: readonly string[]): unknown {
  let value = tree;
  for (const key of path) {
    if (!isObject(value) || !Object.hasOwn(value, key)) return undefined;
    value = value[key];
  }
  return value;
}

/** Sets the value at a path; undefined removes the key. Returns `tree` unchanged if a parent is not an object. */
function withValue(tree: JsonObject, path: readonly string[], value: unknown): JsonObject {
  const [key = '', ...rest] = path;
  const inner = tree[key];
  if (rest.length > 0) {
    if (inner !== undefined && !isObject(inner)) return tree;
    if (inner === undefined && value === undefined) return tree;
    return { ...tree, [key]: withValue(isObject(inner) ? inner : {}, rest, value) };
  }
  const { [key]: _, ...others } = tree;
  return value === undefined ? others : { ...others, [key]: value };
}
