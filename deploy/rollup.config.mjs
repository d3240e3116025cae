// Bundles the command line and the training worker. Native modules, and the libraries that
// load them or carry their own assets, stay external and are resolved from node_modules.
// What need not stay outside comes in, without the parts that the daemon never needs: of zod's 100 files (15 MB in memory,
// 0.1 s of every start) it takes a few, of the 150 that mqtt loads half.
import { chmodSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import commonjs from '@rollup/plugin-commonjs';
import json from '@rollup/plugin-json';
import { nodeResolve } from '@rollup/plugin-node-resolve';
import esbuild, { minify } from 'rollup-plugin-esbuild';
import { BUNDLED } from './bundled.mjs';
import { pageScript } from './page-script.mjs';

const { dependencies } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
const external = [
  /^node:/,
  ...Object.keys(dependencies)
    .filter((name) => !BUNDLED.includes(name))
    .map((name) => new RegExp(`^${name}(/|$)`)),
];

/** What mqtt brings along for other platforms: streams and timers are Node's own here. */
const replaced = {
  name: 'replaced',
  resolveId(id) {
    if (/^(readable-stream|string_decoder)\/?$/.test(id))
      return { id: `node:${id.replace('readable-', '').replace('/', '')}`, external: true };
    return id === 'worker-timers' ? { id: 'node:timers', external: true } : null;
  },
};

/** Inlines the page's files as strings: it ships inside the bundle. */
const text = {
  name: 'text',
  load(id) {
    if (!/\.(html|css|client\.js)$/.test(id)) return null;
    const served = id.endsWith('.js') ? pageScript(id) : readFileSync(id, 'utf8');
    return { code: `export default ${JSON.stringify(served)};`, map: null };
  },
};

/**
 * Loads the external packages, which are CommonJS, by `require`. Imported, each of their files would first be searched for
 * the names that it exports, by a parser written in JavaScript: 0.2 s of processor time, and memory that is never given back.
 */
const required = {
  name: 'required',
  renderChunk(code) {
    const imported = /^import (?:(\w+), )?(\w+|\{[^}]*\}) from '([^'.][^':]*)';$/gm;
    let before =
      "import { createRequire as requireOf } from 'node:module'; const required = requireOf(import.meta.url); ";
    const rewritten = code.replace(imported, (statement, whole, names, from) => {
      if (!external.some((pattern) => pattern.test(from))) return statement;
      const named = names.replaceAll(' as ', ': ');
      const both = whole === undefined ? '' : `${whole} = required('${from}'), `;
      // All on the line of the import: the source map stays right.
      const line = `${before}const ${both}${named} = required('${from}');`;
      before = '';
      return line;
    });
    return { code: rewritten, map: null };
  },
};

/** Removes what earlier builds left in the folder of chunks, whose names change with their content. After the new ones are there. */
const tidied = {
  name: 'tidied',
  writeBundle({ dir }, bundle) {
    const folder = join(dir, 'chunks');
    for (const file of readdirSync(folder))
      if (!Object.hasOwn(bundle, `chunks/${file.replace(/\.map$/, '')}`)) rmSync(join(folder, file));
  },
};

/** Sets the mode of the program, so that a link to it on the PATH runs. */
const executable = {
  name: 'executable',
  writeBundle({ dir }) {
    chmodSync(join(dir, 'gatecast.js'), 0o755);
  },
};

export default {
  input: {
    gatecast: 'src/main.ts',
    'training-worker': 'src/training/worker.ts',
    'model-trial': 'src/model/trial-child.ts',
  },
  output: {
    dir: 'dist',
    format: 'esm',
    sourcemap: true,
    hoistTransitiveImports: false,
    entryFileNames: '[name].js',
    chunkFileNames: 'chunks/[name]-[hash].js',
    banner: (chunk) => (chunk.name === 'gatecast' && chunk.isEntry ? '#!/usr/bin/env node' : ''),
  },
  external,
  plugins: [
    text,
    replaced,
    nodeResolve({ preferBuiltins: true }),
    commonjs({ include: /node_modules/ }),
    json(),
    required,
    tidied,
    executable,
    esbuild({ target: 'node20', tsconfig: 'tsconfig.json' }),
    // Names stay, so that a stack trace can be read. One letter beyond Latin-1 would double the memory of a whole file.
    minify({
      minify: false,
      minifySyntax: true,
      minifyWhitespace: true,
      charset: 'ascii',
      target: 'node20',
    }),
  ],
};
