/** The checks of `gatecast doctor`. They change nothing, apart from a temporary file that measures the disk. */
import { accessSync, constants, existsSync, readFileSync, rmSync, statfsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Config, loadConfig } from '../../config/index.ts';
import { createRouter } from '../../config/resolve.ts';
import { errorText, GatecastError } from '../../errors.ts';
import { loadModel } from '../../model/pack.ts';
import { brokerOptions } from '../../mqtt/options.ts';
import { FEATURES } from '../../series/features.ts';
import { factsReader } from '../../system/facts.ts';
import { writeFileAtomic } from '../../system/files.ts';
import { ruleCount } from '../check/report.ts';
import { modelRegistry } from '../shared/globals.ts';
import { listen } from '../shared/listen.ts';

export interface Finding {
  readonly name: string;
  /** `note`: it runs, but the owner should know. */
  readonly state: 'ok' | 'note' | 'fail';
  readonly text: string;
  readonly hint?: string;
}

interface DoctorOptions {
  readonly config: string | undefined;
  readonly dataDir: string | undefined;
}

export async function runChecks({ config: path, dataDir }: DoctorOptions): Promise<Finding[]> {
  const findings = [node(), processor(), memory(), clock()];
  let config: Config | null = null;
  if (path !== undefined) {
    const [found, finding] = readConfig(path, dataDir);
    config = found;
    findings.push(finding);
  }
  const folder = config?.data_dir ?? dataDir;
  findings.push(await model(folder, config?.model.name ?? 'base'));
  if (folder !== undefined) findings.push(disk(folder, config?.store.max_size ?? 0));
  if (config !== null) findings.push(await broker(config));
  return findings;
}

const ok = (name: string, text: string): Finding => ({ name, state: 'ok', text });
const note = (name: string, text: string, hint?: string): Finding => ({ name, state: 'note', text, hint });
function fail(name: string, error: unknown): Finding {
  const issues = error instanceof GatecastError ? error.issues : [];
  const said = errorText(error);
  const text = [said, ...issues.map(({ path, message }) => `${path || '(root)'}: ${message}`)].join('; ');
  const hint = error instanceof GatecastError && error.hint !== '' ? error.hint : undefined;
  return { name, state: 'fail', text, hint };
}

function node(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const text = `Node ${process.versions.node}, ${process.platform} ${process.arch}`;
  if (major < 20 || (major === 20 && minor < 19))
    return fail('system', `${text}: Node 20.19 or newer is needed`);
  if (process.platform === 'linux' && ['x64', 'arm64'].includes(process.arch)) return ok('system', text);
  return note('system', `${text}: tested on Linux x64 and arm64`);
}

/** Instruction sets that speed up int8 products, by the kernel's names. */
const INT8_FEATURES = ['avx2', 'avx_vnni', 'avx512_vnni', 'asimddp', 'i8mm'];

function processor(): Finding {
  const { cores, temperatureC } = factsReader(() => performance.now())();
  const info = existsSync('/proc/cpuinfo') ? readFileSync('/proc/cpuinfo', 'utf8') : '';
  const flags = new Set((/^(?:flags|Features)\s*:\s*(.*)$/m.exec(info)?.[1] ?? '').split(/\s+/));
  const fast = INT8_FEATURES.filter((name) => flags.has(name));
  const heat = temperatureC === null ? '' : `, ${temperatureC.toFixed(0)} °C`;
  const text = `${cores} cores${heat}, int8 with ${fast.length > 0 ? fast.join(', ') : 'plain instructions'}`;
  return temperatureC !== null && temperatureC > 80
    ? note('processor', text, 'The processor is hot.')
    : ok('processor', text);
}

function memory(): Finding {
  const { memoryAvailableMb, memoryTotalMb } = factsReader(() => performance.now())();
  const text = `${memoryAvailableMb.toFixed(0)} of ${memoryTotalMb.toFixed(0)} MB available`;
  return memoryAvailableMb < 200 ? note('memory', text, 'gatecast needs about 150 MB.') : ok('memory', text);
}

function clock(): Finding {
  const now = new Date();
  const text = `${now.toISOString()}, zone ${Intl.DateTimeFormat().resolvedOptions().timeZone}`;
  if (now.getUTCFullYear() < 2024)
    return note('clock', text, 'The clock is not set. Forecasts start when it is.');
  if (existsSync('/run/systemd/timesync') && !existsSync('/run/systemd/timesync/synchronized'))
    return note('clock', text, 'systemd has not synchronised the clock yet.');
  return ok('clock', text);
}

function readConfig(path: string, dataDir: string | undefined): [Config | null, Finding] {
  try {
    const config = loadConfig(path, dataDir === undefined ? {} : { GATECAST_DATA_DIR: dataDir });
    return [config, ok('config', `${path}: node ${config.node}, ${ruleCount(config.streams)}`)];
  } catch (error) {
    return [null, fail('config', error)];
  }
}

/** Loads the model and steps it: proves the files, the runtime and its kernels. */
async function model(dataDir: string | undefined, name: string): Promise<Finding> {
  try {
    const stored = (await modelRegistry(dataDir)).open(name);
    const loaded = loadModel(stored, FEATURES);
    const stepper = await loaded.stepper(stored.manifest.dimensions.leads);
    try {
      const rows = 64;
      const x = new Float32Array(rows * stepper.inputs);
      const h = new Float32Array(stepper.layers * rows * stepper.hidden);
      const runs = 20;
      await stepper.run(rows, x, h);
      const started = performance.now();
      for (let i = 0; i < runs; i++) await stepper.run(rows, x, h);
      const us = ((performance.now() - started) * 1000) / runs / rows;
      return ok(
        'model',
        `${loaded.id} ${loaded.version}, a step takes ${us.toFixed(1)} us per stream (${stepper.leads} leads, ${rows} streams at once)`,
      );
    } finally {
      await stepper.release();
    }
  } catch (error) {
    const { text, hint } = fail('model', error);
    return note('model', `${text} Naive forecasts only.`, hint);
  }
}

/** @param wanted maximum size of the store, bytes */
function disk(folder: string, wanted: number): Finding {
  const place = nearest(folder);
  try {
    if (!statSync(place).isDirectory())
      return {
        name: 'disk',
        state: 'fail',
        text: `${place} is a file, not a folder`,
        hint: 'Name another folder: data_dir in the config, or --data-dir.',
      };
    accessSync(place, constants.W_OK);
    const { bavail, bsize } = statfsSync(place);
    const freeMb = (bavail * bsize) / 2 ** 20;
    let speed = '';
    if (place === folder) {
      const probe = join(folder, 'doctor.tmp');
      const started = performance.now();
      writeFileAtomic(probe, new Uint8Array(4096));
      speed = `, a synced write takes ${(performance.now() - started).toFixed(1)} ms`;
      rmSync(probe, { force: true });
    }
    const text = `${folder}${place === folder ? '' : ' (does not exist yet)'}: ${freeMb.toFixed(0)} MB free${speed}`;
    return freeMb * 2 ** 20 < wanted
      ? note('disk', text, 'The free space is smaller than store.max_size.')
      : ok('disk', text);
  } catch (error) {
    return { ...fail('disk', error), hint: 'The user that runs gatecast must be able to write there.' };
  }
}

/** The folder, or its nearest existing ancestor. */
function nearest(folder: string): string {
  let place = folder;
  while (!existsSync(place) && dirname(place) !== place) place = dirname(place);
  return place;
}

async function broker(config: Config): Promise<Finding> {
  try {
    const filters = createRouter(config).filters();
    const clientId = `gatecast-doctor-${process.pid}`;
    const options = { ...brokerOptions(config.mqtt, clientId), clientId, sessionExpiryMs: 0 };
    const started = performance.now();
    const refused = await listen({ options, filters, until: async () => {}, message: () => {} });
    const text = `${config.mqtt.url} answers in ${(performance.now() - started).toFixed(0)} ms`;
    if (refused.length === 0) return ok('broker', text);
    return {
      name: 'broker',
      state: 'fail',
      text: `${text}, but refuses ${refused.join(', ')}`,
      hint: 'Check the ACL of the broker.',
    };
  } catch (error) {
    return fail('broker', error);
  }
}
