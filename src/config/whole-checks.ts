/** Checks that involve more than one key of a config. */
import type { Issue } from '../errors.ts';
import { checkSiteName } from './checks.ts';
import { covariateNames, streamCovariates } from './covariates.ts';
import { type LineOf, located, type PathPart } from './document.ts';
import { ruleIds } from './rule-ids.ts';
import type { Config } from './schema.ts';

/** Limit, because every partition of a site keeps a copy of each covariate stream. */
const MOST_SITE_COVARIATES = 64;

export function checkWhole(config: Config, lineOf: LineOf): Issue[] {
  const issues: Issue[] = [];
  const report = (path: readonly PathPart[], message: string): void => {
    issues.push(located(path, message, lineOf));
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
  checkSite(config, report);
  return issues;
}

/** Settings that a site does not support, or that could differ between its machines. */
function checkSite(config: Config, report: (path: readonly PathPart[], message: string) => void): void {
  const { site, node, timezone, streams } = config;
  if (site === undefined) return;
  const wrongName = checkSiteName(node);
  if (wrongName !== null) report(['node'], `${wrongName} in a site`);
  if (site.publish === 'mqtt' && site.name === node)
    report(['site', 'name'], 'must differ from `node`: both are levels of MQTT topics');
  if (timezone === 'local')
    report(['timezone'], 'must name a zone in a site: its machines may be set to different ones');
  for (const [at, { covariates }] of streams.entries())
    if (covariateNames(covariates).some(({ kind }) => kind === 'table'))
      report(['streams', at, 'covariates'], 'cannot name a topic or a file in a site, only streams');
  const named = streamCovariates(config).size;
  if (named > MOST_SITE_COVARIATES)
    report(
      ['streams'],
      `name ${named} streams as covariates; a site copies them to all partitions, so at most ${MOST_SITE_COVARIATES} are allowed`,
    );
  if (site.credentials_file !== undefined && site.user !== undefined)
    report(['site', 'user'], 'has no effect beside `credentials_file`');
  if (site.password_file !== undefined && site.user === undefined)
    report(['site', 'password_file'], 'needs `user`');
  const { cert_file, key_file } = site.tls ?? {};
  if ((cert_file === undefined) !== (key_file === undefined))
    report(
      ['site', 'tls', cert_file === undefined ? 'cert_file' : 'key_file'],
      '`cert_file` and `key_file` must be set together',
    );
}
