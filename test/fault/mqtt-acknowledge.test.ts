/** Promise 1: a sample acknowledged to the broker survives kill -9; the broker keeps the others and sends them again. */
import { describe, expect, it } from 'vitest';
import { SqliteStore } from '../../src/store/sqlite-store.ts';
import { startChild } from '../support/child.ts';
import { hasMosquitto, startMosquitto, watch } from '../support/mosquitto.ts';
import { uniform } from '../support/random.ts';
import { tempDirs } from '../support/temp.ts';
import { sleep, waitFor } from '../support/wait.ts';
import { keepAll, NUMBERED_T0 } from './store-numbered.ts';

const LOOPS = Math.ceil(Number(process.env.GATECAST_FAULT_LOOPS ?? 200) / 5);
/** Most messages that the feeder has sent and that are not acknowledged. */
const AHEAD = 5000;
const temp = tempDirs();

/** Null where the kill has cut off the line. */
function acknowledged(line: string): { readonly lowest: number; readonly highest: number } | null {
  const [, lowest, highest] = /^acknowledged (\d+) (\d+)$/.exec(line) ?? [];
  return highest === undefined ? null : { lowest: Number(lowest), highest: Number(highest) };
}

describe.skipIf(!hasMosquitto)('acknowledgement', () => {
  it(`holds through ${LOOPS} kills while messages flow`, async () => {
    const broker = await startMosquitto('allow_anonymous true\nmax_queued_messages 1000000');
    const dir = temp();
    const random = uniform(2);
    const feeder = await watch(broker.url, 'n/#');
    // A message whose acknowledgement died with the process comes, and is acknowledged, again: numbers count, not events.
    let lowest = Number.POSITIVE_INFINITY;
    let highest = -1;
    let sent = 0;
    let feeding = true;
    const feed = (async () => {
      while (feeding) {
        // So many always wait at the broker, and no more: on a slow machine, too, they arrive before the test gives up.
        if (highest >= 0 && sent - highest > AHEAD) {
          await sleep(5);
          continue;
        }
        for (let i = 0; i < 20; i++) await feeder.client.publishAsync('s/a', String(sent++), { qos: 1 });
        await sleep(2);
      }
    })();
    try {
      const run = async (ms: number): Promise<void> => {
        const child = startChild('test/fault/mqtt-child.ts', [broker.url, dir]);
        await waitFor('a batch', () => child.lines.length > 0);
        await sleep(ms);
        child.process.kill('SIGKILL');
        await child.ended;
        for (const line of child.lines) {
          const numbers = acknowledged(line);
          if (numbers === null) continue;
          lowest = Math.min(lowest, numbers.lowest);
          highest = Math.max(highest, numbers.highest);
        }
        expect(child.errors()).toBe('');
      };
      for (let loop = 0; loop < LOOPS; loop++) await run(random() * 200);
      feeding = false;
      await feed;
      const last = startChild('test/fault/mqtt-child.ts', [broker.url, dir]);
      // The broker sends what it kept in order: when the newest is safe, all are.
      const newest = sent++;
      await feeder.client.publishAsync('s/a', String(newest), { qos: 1 });
      await waitFor(`the last of ${sent} messages`, () =>
        last.lines.some((line) => acknowledged(line)?.highest === newest),
      );
      last.process.kill('SIGKILL');
      await last.ended;
    } finally {
      feeding = false;
      await feed;
      await feeder.close();
      await broker.stop();
    }
    const store = SqliteStore.open(
      keepAll(dir, ({ message }) => {
        throw new Error(message);
      }),
    );
    const first = [...store.since(NUMBERED_T0)][0]!.value - 0.5;
    let expected = first;
    for (const row of store.since(NUMBERED_T0)) expect(row.value).toBe(expected++ + 0.5);
    expect(expected).toBe(sent);
    expect(first).toBeLessThanOrEqual(lowest);
    expect(highest).toBeGreaterThan(first);
    expect(highest).toBeLessThan(sent);
    store.close();
  });
});
