/** Writes what `gatecast init` found: a new config, or further rules in one that is there, and the password beside it. */
import { chownSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Document, isSeq, parseDocument, YAMLSeq } from 'yaml';
import { suggestRules } from '../../config/suggest/rules.ts';
import { ruleNodes, suggestConfig } from '../../config/suggest/suggest.ts';
import type { Survey } from '../../ingest/survey.ts';
import { writeFileAtomic } from '../../system/files.ts';
import { unwritable } from '../../system/output-file.ts';

/** Where the packages look for it. */
export const SYSTEM_CONFIG = '/etc/gatecast/gatecast.yaml';
const PASSWORD_FILE = 'mqtt-password';

export const newConfig = suggestConfig;

/** The text of a config with rules for what it did not read before; all else stays as it is, comments too. */
export function mergedConfig(text: string, survey: Survey): { text: string; rules: number } {
  const { rules, ignore } = suggestRules(survey);
  if (rules.length === 0) return { text, rules: 0 };
  const document = parseDocument(text);
  const streams = document.get('streams');
  const added = ruleNodes(document as Document, rules);
  if (isSeq(streams)) {
    streams.flow = false;
    for (const item of added.items) streams.add(item);
  } else document.set('streams', added);
  if (ignore.length > 0) {
    const before = document.get('ignore');
    const list = isSeq(before) ? before : new YAMLSeq();
    for (const topic of ignore) list.add(document.createNode(topic));
    if (!isSeq(before)) document.set('ignore', list);
  }
  return { text: document.toString({ lineWidth: 0 }), rules: rules.length };
}

/**
 * Keeps a password in a file beside the config that only its owner may read.
 * @returns its path
 */
export function keepPassword(configPath: string, password: string): string {
  const path = join(dirname(configPath), PASSWORD_FILE);
  try {
    writeFileAtomic(path, `${password}\n`);
    const owner = configPath === SYSTEM_CONFIG ? serviceUser() : null;
    if (owner !== null) chownSync(path, owner.uid, owner.gid);
  } catch (cause) {
    throw unwritable(path, cause);
  }
  return path;
}

/** The user that the service runs as, where the package has made it; root alone may give files to it. */
function serviceUser(): { uid: number; gid: number } | null {
  if (process.getuid?.() !== 0) return null;
  const entry = /^gatecast:[^:]*:(\d+):(\d+):/m.exec(readFileSync('/etc/passwd', 'utf8'));
  return entry === null ? null : { uid: Number(entry[1]), gid: Number(entry[2]) };
}

/** Where the config goes when nobody says: with the service's, where root may write there. */
export function defaultPath(): string {
  const folder = statSync(dirname(SYSTEM_CONFIG), { throwIfNoEntry: false });
  return process.getuid?.() === 0 && folder?.isDirectory() === true ? SYSTEM_CONFIG : 'gatecast.yaml';
}
