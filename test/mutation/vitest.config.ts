// The tests of one room, as Stryker runs them: in processes, as always, because some set the zone of theirs.
import { defineConfig, type Plugin } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';
import { root, text } from '../vitest.config.ts';

/** Stryker asks for threads; this comes after it. */
const forks: Plugin = {
  name: 'forks',
  configureVitest({ project }) {
    project.config.pool = 'forks';
  },
};

/** Quick files first: one failing test is enough to kill a mutant. */
class QuickFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return (await super.sort(files)).reverse();
  }
}

export default defineConfig({
  plugins: [text, forks],
  root,
  test: {
    include: [`test/${process.env.GATECAST_MUTATION_ROOM}/**/*.test.ts`],
    testTimeout: 300_000,
    hookTimeout: 300_000,
    sequence: { sequencer: QuickFirst },
  },
});
