// The tests of one room, as Stryker runs them: in processes, as always, because some set the zone of theirs.
import { defineConfig, type Plugin } from 'vitest/config';
import { root, text } from '../vitest.config.ts';

/** Stryker asks for threads; this comes after it. */
const forks: Plugin = {
  name: 'forks',
  configureVitest({ project }) {
    project.config.pool = 'forks';
  },
};

export default defineConfig({
  plugins: [text, forks],
  root,
  test: {
    include: [`test/${process.env.GATECAST_MUTATION_ROOM}/**/*.test.ts`],
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
});
