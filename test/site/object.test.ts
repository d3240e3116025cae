// Objects of a site in the object store of a real nats-server: whole, missing, damaged, and without their parts.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openSite, removeCheckpoint, type Site } from '../../src/site/nats.ts';
import { readObject } from '../../src/site/object.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { hasNats, type NatsServer, startNatsServer } from '../support/nats.ts';
import { makeSite } from '../support/site.ts';
import { waitFor } from '../support/wait.ts';

const BYTES = Uint8Array.from({ length: 300_000 }, (_, i) => i % 251);

describe.skipIf(!hasNats)('an object of a site', () => {
  let server: NatsServer;
  let site: Site;

  beforeAll(async () => {
    server = await startNatsServer();
    site = await openSite(await makeSite([server.url], { partitions: 1 }), 'test');
  });
  afterAll(async () => {
    await site?.nc.close();
    await server?.stop();
  });

  /** @returns the subject of its parts */
  const put = async (name: string): Promise<string> => {
    const { bucket, nuid } = await site.checkpoints.putBlob({ name }, BYTES);
    return `$O.${bucket}.C.${nuid}`;
  };

  it('is read whole', async () => {
    await put('whole');
    const found = await readObject(site.checkpoints, 'whole');
    expect(found !== null && Buffer.compare(found, BYTES)).toBe(0);
    expect(await readObject(site.checkpoints, 'none')).toBeNull();
  });

  it('that is damaged counts as missing', async () => {
    await site.js.publish(await put('damaged'), 'more');
    expect(await readObject(site.checkpoints, 'damaged')).toBeNull();
  });

  it('that is removed leaves nothing behind', async () => {
    const stored = async (): Promise<number> =>
      (await site.jsm.streams.info('OBJ_gatecast-plant-checkpoints')).state.messages;
    const before = await stored();
    // Names whose encoding has each of the special characters.
    for (const name of ['3.12.4567', 'a>?', 'a>?>', '1']) {
      await put(name);
      await removeCheckpoint(site, name);
    }
    expect(await stored()).toBe(before);
  });

  it('whose parts are gone is not waited for without end', async () => {
    const filter = await put('gone');
    await site.jsm.streams.purge('OBJ_gatecast-plant-checkpoints', { filter });
    const clock = new FakeClock();
    const reading = readObject(site.checkpoints, 'gone', clock);
    reading.catch(() => {});
    await waitFor('the wait', () => clock.nextDelayMs !== null);
    clock.advance(10_000);
    await expect(reading).rejects.toMatchObject({ code: 'SITE_UNREACHABLE' });
    expect(clock.nextDelayMs).toBeNull();
  });
});
