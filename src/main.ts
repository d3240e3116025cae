/** The executable: arguments in, exit code out. */
import { catchHangups } from './system/hangups.ts';
import { limitHeapGrowth } from './system/heap.ts';
import { refuseTelemetry } from './system/telemetry.ts';

refuseTelemetry();

// npm only warns of a Node that is too old; the import below would end with an error of the loader.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  process.stderr.write(
    `gatecast: Node ${process.versions.node} is too old; 20.19 or newer is needed: https://nodejs.org/en/download\n`,
  );
  process.exit(1);
}

/** Commands that stay: they live small. Before anything large is loaded. */
const words = process.argv.slice(2);
const command = words.find((word) => !word.startsWith('-'));
if (command === 'run' || command === 'demo') limitHeapGrowth();
if (command === 'run') catchHangups();

const { runProgram } = await import('./cli/program.ts');

/** Time for which leftovers of a library (such as the timer of a failed connection) may keep the process alive, ms. */
const GRACE_MS = 300;

// In `gatecast ... | head`, the reader has closed the pipe: stop. A file may be on a full disk.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') process.stderr.write(`gatecast: cannot write the output: ${error.message}\n`);
  process.exit(error.code === 'EPIPE' ? 0 : 1);
});

// The log's reader may go (a restarted journald): the forecasts must not go with it.
process.stderr.on('error', () => {});

process.exitCode = await runProgram(words, {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
});
setTimeout(() => process.exit(), GRACE_MS).unref();
