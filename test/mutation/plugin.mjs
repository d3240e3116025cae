/** For Stryker: a checker that lets the sample of run.mjs through, and a reporter that writes each result at once. */
import { appendFileSync, readFileSync } from 'node:fs';

const { GATECAST_MUTATION_SAMPLE = '', GATECAST_MUTATION_LINES = '' } = process.env;

/** The path from src/ on: Stryker's copy of the project lies elsewhere. */
const pathOf = (fileName) => fileName.slice(fileName.lastIndexOf('/src/') + 1);

/** Of every mutant in the sample, the text that it replaces. */
const readSample = () => new Map(Object.entries(JSON.parse(readFileSync(GATECAST_MUTATION_SAMPLE, 'utf8'))));
const nameOf = (fileName, { start, end }, replacement) =>
  `${pathOf(fileName)}:${start.line}:${start.column}-${end.line}:${end.column} ${replacement}`;

function sampleChecker() {
  const wanted = readSample();
  /** Lines count from 0 here. */
  const isWanted = ({ fileName, location: { start, end }, replacement }) => {
    const fromOne = ({ line, column }) => ({ line: line + 1, column });
    return wanted.has(nameOf(fileName, { start: fromOne(start), end: fromOne(end) }, replacement));
  };
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

const columnsFromZero = ({ start, end }) => ({
  start: { line: start.line, column: start.column - 1 },
  end: { line: end.line, column: end.column - 1 },
});

function linesReporter() {
  const originals = readSample();
  return {
    onMutantTested: ({ fileName, location, replacement, status, mutatorName, static: isStatic }) => {
      if (status === 'CompileError' || status === 'Ignored') return;
      const entry = {
        status,
        file: pathOf(fileName),
        line: location.start.line,
        mutator: mutatorName,
        original: oneLine(originals.get(nameOf(fileName, columnsFromZero(location), replacement)) ?? ''),
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
