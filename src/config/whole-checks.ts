/** Checks that involve more than one key of a config. */
import type { Issue } from '../errors.ts';
import { type PathPart, pathText } from './document.ts';
import { ruleIds } from './rule-ids.ts';
import type { Config } from './schema.ts';

export function checkWhole(config: Config, lineOf: (path: readonly PathPart[]) => number | null): Issue[] {
  const issues: Issue[] = [];
  const report = (path: readonly PathPart[], message: string): void => {
    const line = lineOf(path);
    issues.push({ path: pathText(path), message: line === null ? message : `${message} (line ${line})` });
  };
  const rules = new Map<string, number>();
  for (const [at, { match, payload, fields, name }] of config.streams.entries()) {
    const key = JSON.stringify([match.replaceAll(/\{[^{}]*\}/g, '+'), payload, fields, name ?? null]);
    const first = rules.get(key);
    if (first !== undefined)
      report(
        ['streams', at, 'match'],
        `is the same as streams[${first}], which comes first and gets all readings`,
      );
    else rules.set(key, at);
    if (match === config.base || match.startsWith(`${config.base}/`))
      report(
        ['streams', at, 'match'],
        `matches topics that gatecast publishes under "${config.base}/"; change the pattern or \`base\``,
      );
  }
  const ids = ruleIds(config.streams);
  for (const [at, id] of ids.entries())
    if (ids.indexOf(id) < at) report(['streams', at, 'id'], `is the id of another rule: "${id}"`);
  if (config.requests.signed && config.remote_config.keys === undefined)
    report(['requests', 'signed'], 'needs `remote_config.keys`: without keys no request can be verified');
  return issues;
}
