// Loaded into the real program with `--import`: kills the process (-9) when it is about to rename a file into place, or has just
// done so. GATECAST_KILL_AT is `label:before` or `label:after`; the labels are what `labelOf` gives. Every durable file of remote
// config and of models is written beside and renamed, so each persisted state is one rename.
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const [wanted = '', moment = ''] = (process.env.GATECAST_KILL_AT ?? '').split(':');
const rename = fs.renameSync;
let last = { phase: 'idle', incoming: null, models: [] };

/** What a rename means, in the terms of `remote/push-state.ts`. */
function labelOf(from, to) {
  const path = String(to);
  if (/\/remote\/layers-[0-9a-f]+\.json$/.test(path)) return 'layers';
  if (/\/remote\/incoming-[0-9a-f]+\.json$/.test(path)) return 'content';
  if (/\/models\/slots\.json$/.test(path)) return 'slots';
  if (/\/models\/[^/]+$/.test(path)) return 'model-folder';
  const file = /\/models\/[^/]+\/([^/]+)$/.exec(path);
  if (file !== null) return `model-${file[1]}`;
  if (!/\/remote\/state-[ab]\.json$/.test(path)) return '';
  const state = JSON.parse(fs.readFileSync(from, 'utf8').split('\n')[1]);
  const before = last;
  last = state;
  if (state.incoming !== null && before.incoming === null) return 'expected';
  if (state.incoming !== null && state.incoming.checks > (before.incoming?.checks ?? 0)) return 'checking';
  if (state.phase !== before.phase) return state.phase;
  if (state.incoming === null && before.incoming !== null) return 'dropped';
  if (state.models.length < before.models.length) return 'forgotten';
  return 'settle';
}

function kill() {
  process.kill(process.pid, 'SIGKILL');
  for (;;);
}

fs.renameSync = (from, to) => {
  const label = labelOf(from, to);
  if (label === wanted && moment === 'before') kill();
  rename(from, to);
  if (label === wanted && moment === 'after') kill();
  // While what comes next is under way.
  if (label === wanted && moment === 'soon') setTimeout(kill, 200);
};
syncBuiltinESMExports();
