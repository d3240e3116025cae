/**
 * Models on disk, shipped ones and those of the data directory: one immutable folder each. A model is verified (manifest,
 * sha256, dimensions, finite weights) before the runtime loads it.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { errorFields, GatecastError } from '../errors.ts';
import { readSafetensors } from '../network/safetensors.ts';
import { checkWeights, type Network, OWN_PREFIX, splitWeights, type Weights } from '../network/weights.ts';
import {
  makeFolder,
  readBounded,
  sha256,
  syncPath,
  writeFileAtomic,
  writeFileAtomicAsync,
} from '../system/files.ts';
import {
  CARD_FILE,
  MANIFEST_FILE,
  type Manifest,
  MODEL_NAME,
  modelHash,
  parseManifest,
  STEP_FILE,
  WEIGHTS_FILE,
} from './manifest.ts';

/** Maximum size of a file, to protect a gateway's memory; real models are far smaller. */
export const MOST_BYTES = 256 * 1024 * 1024;
/** Folder of models that were rolled back at a start, and how many it keeps: so the disk stays bounded. */
const SET_ASIDE = 'set-aside';
const MOST_SET_ASIDE = 3;
/** Models are not secret, and shipped ones must be readable for all users. */
const MODE = 0o644;

export interface StoredModel {
  readonly manifest: Manifest;
  /** Hash of weights, network and feature format; see `modelHash`. */
  readonly hash: string;
  /** Of the base network; null: only the step graph is known. */
  readonly weights: Weights | null;
  /** The own network, trained on the gateway; null: there is none. */
  readonly own: Network | null;
  /** Bytes of the step graph for `manifest.dimensions.leads`; null for a bare cell stack. */
  readonly step: Uint8Array | null;
}

export interface ModelEntry {
  readonly name: string;
  readonly source: 'shipped' | 'data';
  readonly folder: string;
  /** null if the model cannot be used; see `problem`. */
  readonly manifest: Manifest | null;
  readonly problem: string | null;
}

export interface ModelFiles {
  readonly manifest: Manifest;
  /** Exact text of `manifest.json`, if a signature covers it; default: written from `manifest`. */
  readonly manifestText?: string;
  readonly weights: Uint8Array | null;
  readonly step: Uint8Array | null;
  readonly card: string;
}

export class ModelRegistry {
  /**
   * @param dataFolder `<data_dir>/models`, created at the first write; null: shipped models only
   * @param shippedFolder folder of the shipped models; null: none
   */
  constructor(
    readonly dataFolder: string | null,
    private readonly shippedFolder: string | null = shippedModels(),
  ) {}

  /** All models, including damaged ones, sorted by name. A model of the data directory hides a shipped one of the same name. */
  list(): ModelEntry[] {
    const found = new Map<string, ModelEntry>();
    for (const [folder, source] of this.folders()) {
      for (const name of modelNames(folder)) {
        if (!found.has(name)) found.set(name, entry(name, join(folder, name), source));
      }
    }
    return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  has(name: string): boolean {
    return this.find(name) !== null;
  }

  /** @throws GatecastError MODEL_UNKNOWN, MODEL_INVALID, FILE_UNREADABLE */
  open(name: string): StoredModel {
    return readModel(this.folderOf(name));
  }

  /** Path of a model's folder. @throws GatecastError MODEL_UNKNOWN */
  folderOf(name: string): string {
    const folder = this.find(name);
    if (folder) return folder;
    const known = this.list().map((one) => one.name);
    throw new GatecastError('MODEL_UNKNOWN', `There is no model '${name}'.`, {
      hint:
        known.length > 0 ? `Known: ${known.join(', ')}.` : 'Train one with `gatecast train`, or import one.',
    });
  }

  /**
   * Writes a model of the data directory, whole or not at all, after verifying it. @throws GatecastError MODEL_INVALID;
   * the system's error when the disk refuses
   */
  save(files: ModelFiles): StoredModel {
    return writeModel(this.newFolder(files), files);
  }

  /** As `save`, without blocking, for files that `verifyModel` has checked. Rejects with the errors of `save`. */
  async add(files: ModelFiles): Promise<void> {
    await writeModelBeside(this.newFolder(files), files);
  }

  private newFolder({ manifest: { name } }: ModelFiles): string {
    if (!this.dataFolder) {
      throw new GatecastError('USAGE', 'Saving a model needs a data directory.', {
        hint: 'Name one with --data-dir or GATECAST_DATA_DIR.',
      });
    }
    const folder = join(this.dataFolder, name);
    if (existsSync(folder)) {
      throw new GatecastError('MODEL_INVALID', `A model '${name}' already exists.`, {
        hint: 'Choose another name, or remove the existing model first.',
      });
    }
    return folder;
  }

  remove(name: string): void {
    if (!this.dataFolder || !MODEL_NAME.test(name)) return;
    rmSync(join(this.dataFolder, name), { recursive: true, force: true });
  }

  /**
   * Moves a model of the data directory to the folder `set-aside` beside the models, from where it can be moved back. Keeps it and the
   * newest others by name. @returns the folder; null if there is no such model, or the disk refuses
   */
  setAside(name: string): string | null {
    const { dataFolder } = this;
    if (dataFolder === null || !MODEL_NAME.test(name) || !existsSync(join(dataFolder, name))) return null;
    const folder = join(dataFolder, SET_ASIDE);
    const path = join(folder, name);
    try {
      makeFolder(folder);
      rmSync(path, { recursive: true, force: true });
      renameSync(join(dataFolder, name), path);
    } catch {
      return null;
    }
    const others = modelNames(folder).filter((other) => other !== name);
    for (const old of others.sort().slice(0, 1 - MOST_SET_ASIDE))
      rmSync(join(folder, old), { recursive: true, force: true });
    return path;
  }

  private folders(): [string, 'data' | 'shipped'][] {
    const folders: [string, 'data' | 'shipped'][] = [];
    if (this.dataFolder) folders.push([this.dataFolder, 'data']);
    if (this.shippedFolder) folders.push([this.shippedFolder, 'shipped']);
    return folders;
  }

  /** A model that the system cannot look for counts as found; opening it tells the reason. */
  private find(name: string): string | null {
    if (!MODEL_NAME.test(name)) return null;
    let uncertain: string | null = null;
    for (const [folder] of this.folders()) {
      const path = join(folder, name);
      try {
        if (statSync(join(path, MANIFEST_FILE), { throwIfNoEntry: false }) !== undefined) return path;
      } catch {
        uncertain ??= path;
      }
    }
    return uncertain;
  }
}

/** Writes a temporary folder and renames it, so that the folder is always complete. @throws GatecastError MODEL_INVALID */
export function writeModel(folder: string, files: ModelFiles): StoredModel {
  const stored = verifyModel(files, folder);
  // the same check as on reading
  parseManifest(JSON.stringify(files.manifest), folder);
  const temporary = temporaryFolder(folder);
  try {
    for (const [name, content] of contentsOf(files)) writeFileAtomic(join(temporary, name), content, MODE);
    moveIntoPlace(temporary, folder);
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true });
    throw error;
  }
  return stored;
}

/** As `writeModel`, without blocking, for files that `verifyModel` has checked. */
async function writeModelBeside(folder: string, files: ModelFiles): Promise<void> {
  const temporary = temporaryFolder(folder);
  try {
    for (const [name, content] of contentsOf(files))
      await writeFileAtomicAsync(join(temporary, name), content, MODE);
    moveIntoPlace(temporary, folder);
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true });
    throw error;
  }
}

/** Makes the empty folder that becomes `folder`. */
function temporaryFolder(folder: string): string {
  try {
    makeFolder(dirname(folder));
  } catch (cause) {
    throw new GatecastError('FILE_UNWRITABLE', `cannot write ${folder}: ${(cause as Error).message}`, {
      hint: 'name another folder: data_dir in the config, or --data-dir',
      cause,
    });
  }
  const temporary = `${folder}.${process.pid}.tmp`;
  rmSync(temporary, { recursive: true, force: true });
  mkdirSync(temporary);
  return temporary;
}

function contentsOf({
  manifest,
  manifestText,
  weights,
  step,
  card,
}: ModelFiles): [string, string | Uint8Array][] {
  return [
    ...(weights ? [[WEIGHTS_FILE, weights] as [string, Uint8Array]] : []),
    ...(step ? [[STEP_FILE, step] as [string, Uint8Array]] : []),
    [CARD_FILE, card],
    [MANIFEST_FILE, manifestText ?? `${JSON.stringify(manifest, null, 2)}\n`],
  ];
}

function moveIntoPlace(temporary: string, folder: string): void {
  const aside = `${folder}.old.tmp`;
  // a folder cannot replace one that is not empty, so the old one is renamed first
  if (existsSync(folder)) {
    // left by a crash at this point
    rmSync(aside, { recursive: true, force: true });
    renameSync(folder, aside);
  }
  renameSync(temporary, folder);
  rmSync(aside, { recursive: true, force: true });
  syncPath(dirname(folder));
}

/** Reads and verifies the model in a folder. @throws GatecastError MODEL_INVALID; FILE_UNREADABLE if the system cannot read it now */
export function readModel(folder: string): StoredModel {
  const manifest = parseManifest(new TextDecoder().decode(read(folder, MANIFEST_FILE)), folder);
  const weights = manifest.files.weights ? read(folder, WEIGHTS_FILE) : null;
  const step = manifest.files.step ? read(folder, STEP_FILE) : null;
  return verifyModel({ manifest, weights, step, card: '' }, folder);
}

/**
 * Checks files against their manifest, and weights against the network. @throws GatecastError MODEL_INVALID
 * @param hashOf returns known hashes of the files, which saves computing them
 */
export function verifyModel(
  { manifest, weights, step }: ModelFiles,
  where: string,
  hashOf: (bytes: Uint8Array) => string = sha256,
): StoredModel {
  const check = (file: string, bytes: Uint8Array | null, entry: { sha256: string; bytes: number } | null) => {
    if (!bytes || !entry) return;
    if (bytes.length !== entry.bytes || hashOf(bytes) !== entry.sha256) {
      throw new GatecastError('MODEL_INVALID', `${file} of ${where} does not match its manifest.`, {
        hint: 'The file was damaged or changed; copy the model again, or roll back.',
      });
    }
  };
  check(WEIGHTS_FILE, weights, manifest.files.weights);
  check(STEP_FILE, step, manifest.files.step);
  if (!weights && !step)
    throw new GatecastError('MODEL_INVALID', `${where} has neither weights nor a step graph.`);
  return {
    manifest,
    hash: modelHash(manifest),
    ...(weights ? checkedWeights(manifest, weights, where) : { weights: null, own: null }),
    step,
  };
}

function checkedWeights(
  { spec, own: ownSpec }: Manifest,
  bytes: Uint8Array,
  where: string,
): { readonly weights: Weights; readonly own: Network | null } {
  if (!spec) throw new GatecastError('MODEL_INVALID', `${where} has weights but no network.`);
  try {
    const { weights: all } = readSafetensors(bytes);
    if (ownSpec === undefined) {
      checkWeights(spec, all);
      return { weights: all, own: null };
    }
    const { weights, own } = splitWeights(all);
    checkWeights(spec, weights);
    checkWeights(ownSpec, own, (name) => `${OWN_PREFIX}${name}`);
    return { weights, own: { spec: ownSpec, weights: own } };
  } catch (cause) {
    if (!(cause instanceof GatecastError)) throw cause;
    throw new GatecastError('MODEL_INVALID', `${where}: ${cause.message}`, { issues: cause.issues, cause });
  }
}

function read(folder: string, file: string): Uint8Array {
  const path = join(folder, file);
  try {
    return readBounded(path, MOST_BYTES);
  } catch (cause) {
    const { reason, code } = errorFields(cause);
    const kind = code === undefined || code === 'ENOENT' ? 'MODEL_INVALID' : 'FILE_UNREADABLE';
    throw new GatecastError(kind, `${path} cannot be read: ${reason}`, { cause });
  }
}

function entry(name: string, folder: string, source: 'shipped' | 'data'): ModelEntry {
  try {
    return { name, source, folder, manifest: readModel(folder).manifest, problem: null };
  } catch (error) {
    if (!(error instanceof GatecastError)) throw error;
    return { name, source, folder, manifest: null, problem: error.message };
  }
}

function modelNames(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder).filter(
    (name) =>
      MODEL_NAME.test(name) && !name.endsWith('.tmp') && existsSync(join(folder, name, MANIFEST_FILE)),
  );
}

/** The folder `models` next to the bundle's folder (`dist/..`) or the sources; null if it does not exist. */
export function shippedModels(from: string = import.meta.url): string | null {
  let folder = dirname(fileURLToPath(from));
  for (let climb = 0; climb < 4; climb++) {
    if (existsSync(join(folder, 'models')) && existsSync(join(folder, 'package.json')))
      return join(folder, 'models');
    folder = dirname(folder);
  }
  return null;
}
