/**
 * Carries the past forecasts of the page over a restart, in one file: gzip of records `[length of the name][count of numbers][name]
 * [numbers]`. They are for charts only, so a failure to read or write the file is only logged.
 */
import { existsSync } from 'node:fs';
import { constants, gunzipSync, gzipSync } from 'node:zlib';
import { errorFields } from '../errors.ts';
import { readBounded, writeFileAtomic } from '../system/files.ts';
import type { Board } from './board.ts';
import { PastForecasts } from './past-forecasts.ts';

const MOST_BYTES = 64 * 2 ** 20;
const HEAD = 8;

interface Log {
  warn(event: string, fields?: Readonly<Record<string, string>>): void;
}

export function savePast(path: string, board: Pick<Board, 'pasts'>, log: Log): void {
  try {
    const parts = board.pasts().flatMap(([stream, past]) => {
      const name = Buffer.from(stream);
      const numbers = past.numbers();
      const head = Buffer.alloc(HEAD);
      head.writeUInt32LE(name.length);
      head.writeUInt32LE(numbers.length, 4);
      return [head, name, Buffer.from(numbers.buffer, numbers.byteOffset, numbers.byteLength)];
    });
    if (parts.length === 0) return;
    writeFileAtomic(path, gzipSync(Buffer.concat(parts), { level: constants.Z_BEST_SPEED }));
  } catch (error) {
    log.warn('past forecasts not saved', { path, ...errorFields(error) });
  }
}

export function loadPast(path: string, board: Pick<Board, 'restorePast'>, log: Log): void {
  if (!existsSync(path)) return;
  try {
    const bytes = gunzipSync(readBounded(path, MOST_BYTES), { maxOutputLength: MOST_BYTES });
    for (let at = 0; at < bytes.length; ) {
      const named = at + HEAD + bytes.readUInt32LE(at);
      const end = named + 8 * bytes.readUInt32LE(at + 4);
      if (end > bytes.length) throw new RangeError('the file ends too early');
      // A copy: numbers must begin at a multiple of their size.
      const numbers = new Float64Array(Uint8Array.from(bytes.subarray(named, end)).buffer);
      const past = PastForecasts.fromNumbers(numbers);
      if (past !== null) board.restorePast(bytes.toString('utf8', at + HEAD, named), past);
      at = end;
    }
  } catch (error) {
    log.warn('past forecasts not restored', { path, ...errorFields(error) });
  }
}
