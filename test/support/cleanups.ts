/** What a test started and must stop. */
import { afterAll, afterEach } from 'vitest';

/** Call at the top of a test file. The functions added to the list run after each test, the last one first. */
export function cleanupsOfTest(): (() => unknown)[] {
  return cleanups(afterEach);
}

/** The same at the end of the file, for tests that run at the same time. */
export function cleanupsOfFile(): (() => unknown)[] {
  return cleanups(afterAll);
}

function cleanups(hook: typeof afterEach | typeof afterAll): (() => unknown)[] {
  const list: (() => unknown)[] = [];
  hook(async () => {
    for (const cleanup of list.splice(0).reverse()) await cleanup();
  });
  return list;
}
