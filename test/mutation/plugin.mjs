/** For Stryker: a checker that lets the sample of run.mjs through, and a reporter that writes each result at once. */
import { appendFileSync, readFileSync } from 'node:fs';

const { GATECAST_MUTATION_SAMPLE = '', GATECAST_MUTATION_LINES = '' } = process.env;

/** The path from src/ on: Stryker's copy of the project lies elsewhere. */
const pathOf = (fileName) => fileName.slice(fileName.lastIndexOf('/src/') + 1);

function sampleChecker() {
  const wanted = new Set(JSON.parse(readFileSync(GATECAST_MUTATION_SAMPLE, 'utf8')));
  const isWanted = ({ fileName, location: { start, end }, replacement }) =>
    wanted.has(
      `${pathOf(fileName)}:${start.line + 1}:${start.column}-${end.line + 1}:${end.column} ${replacement}`,
    );
  const verdict = (mutant) =>
    isWanted(mutant) ? { status: 'passed' } : { status: 'compileError', reason: 'not in the sample' };
  return {
    init: async () => {},
    group: async (mutants) => [mutants.map(({ id }) => id)],
    check: async (mutants) => Object.fromEntries(mutants.map((mutant) => [mutant.id, verdict(mutant)])),
  };
}

const oneLine = (text) => {
  const flat = text.replace(/\s+/g, ' ').trim();
  return flat.length > 100 ? `${flat.slice(0, 97)}...` : flat;
};

/** The text between two places; lines and columns count from 1. */
function between(file, { start, end }) {
  const lines = readFileSync(file, 'utf8')
    .split('\n')
    .slice(start.line - 1, end.line);
  lines[lines.length - 1] = lines.at(-1).slice(0, end.column - 1);
  lines[0] = lines[0].slice(start.column - 1);
  return lines.join('\n');
}

function linesReporter() {
  return {
    onMutantTested: ({ fileName, location, replacement, status, mutatorName, static: isStatic }) => {
      if (status === 'CompileError' || status === 'Ignored') return;
      const entry = {
        status,
        file: pathOf(fileName),
        line: location.start.line,
        mutator: mutatorName,
        original: oneLine(between(fileName, location)),
        replacement: oneLine(replacement ?? ''),
        static: isStatic,
      };
      appendFileSync(GATECAST_MUTATION_LINES, `${JSON.stringify(entry)}\n`);
    },
  };
}

export const strykerPlugins = [
  { kind: 'Checker', name: 'sample', factory: Object.assign(sampleChecker, { inject: [] }) },
  { kind: 'Reporter', name: 'lines', factory: Object.assign(linesReporter, { inject: [] }) },
];
