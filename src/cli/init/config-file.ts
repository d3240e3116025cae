/** The config that `gatecast init` writes, new or with added rules, and its password file. */
import { chmodSync, chownSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Document, isSeq, parseDocument, YAMLSeq } from 'yaml';
import { suggestRules } from '../../config/suggest/rules.ts';
import { ruleNodes, suggestConfig } from '../../config/suggest/suggest.ts';
import type { Survey } from '../../ingest/survey.ts';
import { writeFileAtomic } from '../../system/files.ts';
import { unwritable } from '../../system/output-file.ts';
import { PASSWORD_FILE } from '../shared/broker.ts';

/** Config path of the packaged service. */
export const SYSTEM_CONFIG = '/etc/gatecast/gatecast.yaml';

export const newConfig = suggestConfig;

/**
 * Adds rules for unread topics to the text of a config; keeps everything else, including comments.
 * @param existing names of its streams
 */
export function mergedConfig(
  text: string,
  survey: Survey,
  existing: readonly string[] = [],
): { text: string; rules: number } {
  const { rules, ignore } = suggestRules(survey, existing);
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
 * Writes a password to a file next to the config that only its owner may read.
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

/** The service may read a config that root wrote, with any umask of root; others may not. */
export function giveToService(configPath: string): void {
  const user = serviceUser();
  if (user === null) return;
  chownSync(configPath, 0, user.gid);
  chmodSync(configPath, 0o640);
}

/** The service's user, if the package has created it and this process is root, which may change a file's owner. */
function serviceUser(): { uid: number; gid: number } | null {
  if (process.getuid?.() !== 0) return null;
  const entry = /^gatecast:[^:]*:(\d+):(\d+):/m.exec(readFileSync('/etc/passwd', 'utf8'));
  return entry === null ? null : { uid: Number(entry[1]), gid: Number(entry[2]) };
}

/** Default path of the config: the service's for root if its folder exists. */
export function defaultPath(): string {
  const folder = statSync(dirname(SYSTEM_CONFIG), { throwIfNoEntry: false });
  return process.getuid?.() === 0 && folder?.isDirectory() === true ? SYSTEM_CONFIG : 'gatecast.yaml';
}
