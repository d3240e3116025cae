// The tests of one room, as Stryker runs them: in threads, one file after the other.
import { defineConfig } from 'vitest/config';
import { root, text } from '../vitest.config.ts';

export default defineConfig({
  plugins: [text],
  root,
  test: {
    include: [`test/${process.env.GATECAST_MUTATION_ROOM}/**/*.test.ts`],
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
});
