/** Renders templates with the Jinja that Home Assistant uses, in one process for a list of them. */
import { spawnSync } from 'node:child_process';

export const hasJinja = spawnSync('python3', ['-c', 'import jinja2']).status === 0;
if (!hasJinja) console.warn('SKIPPED: templates need Jinja (apt-get install python3-jinja2)');

/** `tojson` as in Home Assistant; a missing member is an error here, where Home Assistant only warns. */
const PROGRAM = `
import json, sys
import jinja2
environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
environment.filters["tojson"] = json.dumps
out = []
for template, value in json.load(sys.stdin):
    out.append(environment.from_string(template).render(value_json=value))
json.dump(out, sys.stdout)
`;

export function render(pairs: readonly (readonly [template: string, valueJson: unknown])[]): string[] {
  const { stdout, stderr, status } = spawnSync('python3', ['-c', PROGRAM], {
    input: JSON.stringify(pairs),
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as string[];
}
