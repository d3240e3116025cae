// The page's script for the browser: one file with all its modules and uPlot, minified. rollup.config.mjs and the tests'
// configuration import it as text.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';

const uplot = fileURLToPath(new URL('../node_modules/uplot/dist/uPlot.esm.js', import.meta.url));

/** @param file the module to start with */
export function pageScript(file) {
  const licence = /^\/\*[\s\S]*?Licensed[\s\S]*?\*\//.exec(readFileSync(uplot, 'utf8'))?.[0];
  if (licence === undefined) throw new Error(`${uplot} does not start with its licence`);
  const { outputFiles } = buildSync({
    entryPoints: [file],
    bundle: true,
    write: false,
    minify: true,
    format: 'esm',
    target: 'es2022',
    charset: 'utf8',
    alias: { uplot },
    banner: { js: licence },
  });
  return outputFiles[0].text;
}
