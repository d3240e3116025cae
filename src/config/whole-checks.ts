/** What several rules of a config, or a rule and a top-level key, must hold up to together. */
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
  for (const [at, { match }] of config.streams.entries())
    if (match === config.base || match.startsWith(`${config.base}/`))
      report(
        ['streams', at, 'match'],
        `reads what gatecast itself publishes under "${config.base}/"; change the pattern or \`base\``,
      );
  const ids = ruleIds(config.streams);
  for (const [at, id] of ids.entries())
    if (ids.indexOf(id) < at) report(['streams', at, 'id'], `is the id of another rule: "${id}"`);
  return issues;
}
