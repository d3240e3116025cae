/** The `gatecast model` commands; each returns the text to print. */

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { GatecastError } from '../../errors.ts';
import { exportModel } from '../../model/export.ts';
import { importModel } from '../../model/import.ts';
import { CARD_FILE, MODEL_NAME } from '../../model/manifest.ts';
import type { ModelEntry, ModelRegistry } from '../../model/registry.ts';
import { ModelSlots, readSlots, slotsInUse } from '../../model/slots.ts';
import type { Cell } from '../../network/spec.ts';
import { FEATURES } from '../../series/features.ts';
import { lockDataDir } from '../../store/lock.ts';
import { writeOutput } from '../../system/output-file.ts';
import { jsonText } from '../shared/output.ts';
import { textTable } from '../shared/text-table.ts';
import type { ExportFlags } from './model.ts';

export function listModels(registry: ModelRegistry, slotsFile: string | null, json: boolean): string {
  const groups = slotsFile ? slotsInUse(readSlots(slotsFile).file) : [];
  const rows = registry.list().map((entry) => ({ ...row(entry), runs: runsIn(entry.name, groups) }));
  if (json) return jsonText(rows);
  if (rows.length === 0) return 'No models. Train one with `gatecast train`, or import one.\n';
  return textTable([
    ['name', 'from', 'network', 'parameters', 'created', 'runs in', ''],
    ...rows.map((one) => [
      one.name,
      one.source,
      one.network,
      String(one.parameters ?? ''),
      one.created.slice(0, 16),
      one.runs,
      one.problem ?? '',
    ]),
  ]);
}

function row({ name, source, manifest, problem }: ModelEntry) {
  const spec = manifest?.spec;
  return {
    name,
    source,
    network: spec
      ? `${spec.cell} ${spec.layers}x${spec.hidden}${ownText(manifest)}, ${spec.head.kind}`
      : manifest
        ? 'step graph'
        : '',
    parameters: manifest?.dimensions.parameters ?? null,
    created: manifest?.created ?? '',
    problem,
  };
}

/** The own network beside the base network, if there is one. */
function ownText(manifest: ModelEntry['manifest']): string {
  const own = manifest?.own;
  return own === undefined ? '' : ` + ${own.layers}x${own.hidden}`;
}

function runsIn(name: string, groups: ReturnType<typeof slotsInUse>): string {
  return groups
    .filter(({ slots }) => slots.current === name)
    .map(({ group, slots }) => (slots.probation ? `${group} (on probation)` : group))
    .join(', ');
}

/** @throws GatecastError MODEL_UNKNOWN, MODEL_INVALID */
export function showModel(registry: ModelRegistry, name: string, json: boolean): string {
  const { manifest, hash } = registry.open(name);
  if (json) return jsonText({ hash, ...manifest });
  const card = join(registry.folderOf(name), CARD_FILE);
  return `${existsSync(card) ? readFileSync(card, 'utf8').trimEnd() : name}\n\nmodel ${hash}, verified\n`;
}

/** @throws GatecastError as `importModel`, `ModelRegistry.save` */
export async function importInto(
  registry: ModelRegistry,
  file: string,
  flags: { readonly name: string; readonly cell?: string; readonly like?: string },
): Promise<string> {
  if (!MODEL_NAME.test(flags.name)) {
    throw new GatecastError('USAGE', `'${flags.name}' cannot be the name of a model.`, {
      hint: 'Use at most 64 letters, digits, dots, dashes and underscores; begin with a letter or digit.',
    });
  }
  // A model of the same name would hide the existing one, even a shipped one, and so change the forecasts.
  if (registry.has(flags.name)) {
    throw new GatecastError('MODEL_INVALID', `A model '${flags.name}' already exists.`, {
      hint: 'Choose another name with --name.',
    });
  }
  const files = await importModel(file, {
    name: flags.name,
    createdMs: Date.now(),
    cell: flags.cell ? ((flags.cell === 'rnn' ? 'rnn-tanh' : flags.cell) as Cell) : null,
    like: flags.like ? registry.open(flags.like).manifest : null,
    features: FEATURES,
  });
  const { manifest, hash } = registry.save(files);
  const { spec, dimensions } = manifest;
  const network = spec
    ? `${spec.cell}, ${spec.layers} layer(s) of ${spec.hidden}, ${spec.inputs} inputs`
    : 'a step model';
  const use = files.step
    ? `forecasts ${dimensions.leads} steps`
    : 'a bare cell stack: it can be exported and compared, but it makes no forecasts';
  return `${flags.name}: ${network}; ${use} (model ${hash})\n`;
}

/** @throws GatecastError as `exportModel`, FILE_UNWRITABLE */
export function exportTo(registry: ModelRegistry, name: string, flags: ExportFlags): string {
  const bytes = exportModel(registry.open(name), {
    format: flags.format,
    graph: flags.graph,
    leads: flags.leads ?? null,
    quantized: flags.float32 ? false : flags.int8 ? true : null,
  });
  writeOutput(flags.out, bytes);
  return `${flags.out} (${bytes.length} bytes)\n`;
}

/**
 * @throws GatecastError USAGE without a data directory, MODEL_UNKNOWN without a previous model, LOCKED while an agent runs,
 * which would overwrite the change
 */
export function rollBack(registry: ModelRegistry, slotsFile: string | null, group: string): string {
  if (!slotsFile) {
    throw new GatecastError('USAGE', 'model rollback needs a data directory.', {
      hint: 'Name the config with -c, or the folder with --data-dir or GATECAST_DATA_DIR.',
    });
  }
  const dir = dirname(dirname(slotsFile));
  const lock = existsSync(dir) ? lockDataDir(dir) : null;
  try {
    const slots = new ModelSlots(slotsFile);
    const configured = slots.configuredOf(group) ?? 'base';
    const { previous } = slots.get(group, configured);
    // throws if the previous model cannot be opened
    if (previous) registry.open(previous);
    const { current } = slots.rollback(group, configured, 'rolled back from the command line');
    return `Group '${group}' runs '${current}' from the next start of the agent.\n`;
  } finally {
    lock?.release();
  }
}
