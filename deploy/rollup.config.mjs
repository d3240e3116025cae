// Bundles the command line and the training worker. Native modules, and the libraries that
// load them or carry their own assets, stay external and are resolved from node_modules.
// zod comes in: of its 100 files (15 MB in memory, 0.1 s of every start) the daemon needs a few.
import { readFileSync } from 'node:fs';
import json from '@rollup/plugin-json';
import { nodeResolve } from '@rollup/plugin-node-resolve';
import esbuild from 'rollup-plugin-esbuild';

const { dependencies } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
const BUNDLED = ['zod'];
const external = [
  /^node:/,
  ...Object.keys(dependencies)
    .filter((name) => !BUNDLED.includes(name))
    .map((name) => new RegExp(`^${name}(/|$)`)),
];

/** Inlines `*.html`, `*.css` and `*.client.js` imports as strings: the page ships inside the bundle. */
const text = {
  name: 'text',
  transform(code, id) {
    return /\.(html|css|client\.js)$/.test(id)
      ? { code: `export default ${JSON.stringify(code)};`, map: null }
      : null;
  },
};

export default {
  input: { gatecast: 'src/main.ts', 'training-worker': 'src/training/worker.ts' },
  output: {
    dir: 'dist',
    format: 'esm',
    sourcemap: true,
    entryFileNames: '[name].js',
    chunkFileNames: 'chunks/[name]-[hash].js',
    banner: (chunk) => (chunk.name === 'gatecast' && chunk.isEntry ? '#!/usr/bin/env node' : ''),
  },
  external,
  plugins: [
    text,
    nodeResolve({ preferBuiltins: true }),
    json(),
    esbuild({ target: 'node20', tsconfig: 'tsconfig.json' }),
  ],
};
