// Which tests belong to which suite; `npm test`, `check`, `test:slow`, `test:soak` and `test:arm64` each run one project, `test:fault` two.
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';
import { isBuilt } from '../deploy/build-stamp.mjs';
import { pageScript } from '../deploy/page-script.mjs';

/** Imports of the page's files arrive as text, as in the bundle. Their ids hide the extension from vite's handling of CSS. */
const PREFIX = '\0text:';
export const text = {
  name: 'text',
  enforce: 'pre' as const,
  resolveId(source: string, importer: string | undefined) {
    if (!importer || !/\.(html|css|client\.js)$/.test(source)) return null;
    return `${PREFIX}${source.startsWith('.') ? resolve(dirname(importer), source) : source}.js`;
  },
  load(id: string) {
    if (!id.startsWith(PREFIX)) return null;
    const path = id.slice(PREFIX.length, -'.js'.length);
    const file = path.startsWith('/') ? path : resolve(root, 'node_modules', path);
    const served = file.endsWith('.js') ? pageScript(file) : readFileSync(file, 'utf8');
    return `export default ${JSON.stringify(served)};`;
  },
};
/**
 * Tests start the helper processes of the program (training, trial of a model) from its build when that is of these sources:
 * tsx, which starts them from the sources, takes most of a second of processor time for each.
 */
const isHelperBuilt = isBuilt();
const builtHelpers = {
  name: 'built-helpers',
  enforce: 'pre' as const,
  transform(code: string, id: string) {
    if (!isHelperBuilt || !id.startsWith(join(root, 'src'))) return null;
    const program = JSON.stringify(new URL('../dist/gatecast.js', import.meta.url).href);
    return code.replace('scriptArguments(import.meta.url,', `scriptArguments(${program},`);
  },
};
// Workers of a test would else be the first to load onnxruntime, and may not set it themselves (src/system/telemetry.ts).
process.env.ORT_DISABLE_TELEMETRY = '1';

export const root = new URL('..', import.meta.url).pathname;
const project = (name: string, include: string[], exclude: string[] = [], testTimeout = 900_000) => ({
  plugins: [text],
  root,
  test: {
    name,
    include,
    exclude,
    testTimeout,
    hookTimeout: 900_000,
    // How long something may take to appear on a busy machine; the default of a second is too short for a browser.
    expect: { poll: { timeout: 200_000 } },
    pool: 'forks' as const,
  },
});
const heavy = ['test/fault/**', 'test/soak/**', 'test/rooms/**', 'test/arm64/**', 'test/package/**'];

/**
 * More workers than cores: a third of the time, these tests wait for brokers and processes. Files share the process of their
 * worker, which saves a quarter of the CPU time of the suite: a test restores what it changes in the process.
 */
const slowTests = 'test/**/*.slow.test.ts';
const main = project('main', ['test/**/*.test.ts'], [...heavy, slowTests]);
const slow = project('slow', [slowTests], heavy);
const mainOptions = { maxWorkers: Math.ceil(1.5 * availableParallelism()), isolate: false };

/** Vitest begins with the largest files. These are small, but take long: at the end, one worker would run them alone. */
const LONG = [
  'training/trials',
  'training/live-inputs',
  'backtest/play',
  'web/page',
  'agent/remote',
  'agent/parts',
  'network/training-graph',
  'training/job',
  'training/cycle.slow',
  'cli/init/init.slow',
  'backtest/covariates.slow',
  'agent/rollback.slow',
  'e2e/remote-config.slow',
  'site/worker.slow',
  'fault/leak',
];
class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const isLong = ({ moduleId }: TestSpecification): boolean =>
      LONG.some((name) => moduleId.endsWith(`/test/${name}.test.ts`));
    const sorted = await super.sort(files);
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}

/** Tests that measure time, or how memory grows meanwhile, or use all processors: one after the other, when the other fault tests are done. */
const alone = ['fleet', 'harmful-push', 'hostile-messages', 'push-flood', 'site-cluster', 'site-docs'].map(
  (name) => `test/fault/${name}.test.ts`,
);
/** They wait for brokers and processes for most of the time, hence more workers than cores. */
const fault = project('fault', ['test/fault/**/*.test.ts'], alone, 1_200_000);
const faultAlone = project('fault-alone', alone, [], 1_200_000);

/** CI counts tests from these files: a suite may run vitest more than once, so each run writes its own. */
const reports = process.env.GATECAST_TEST_REPORTS;

export default defineConfig({
  test: {
    maxWorkers: '100%',
    sequence: { sequencer: LongFirst },
    reporters: reports
      ? ['default', ['json', { outputFile: join(reports, `${process.pid}.json`) }]]
      : ['default'],
    projects: [
      { ...main, plugins: [text, builtHelpers], test: { ...main.test, ...mainOptions } },
      { ...slow, plugins: [text, builtHelpers], test: { ...slow.test, ...mainOptions } },
      project('rooms', ['test/rooms/**/*.test.ts']),
      { ...fault, test: { ...fault.test, maxWorkers: mainOptions.maxWorkers } },
      { ...faultAlone, test: { ...faultAlone.test, maxWorkers: 1, sequence: { groupOrder: 1 } } },
      project('soak', ['test/soak/**/*.test.ts'], [], 1_800_000),
      project('arm64', ['test/arm64/**/*.test.ts']),
      project('package', ['test/package/**/*.test.ts']),
    ],
  },
});
