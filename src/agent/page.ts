/** The agent's page, where the config wants one. */
import type { Logger } from '../log.ts';
import { parseListen } from '../web/listen.ts';
import { type PageOptions, PageServer } from '../web/server.ts';
import type { Stops } from './stops.ts';

/** @returns where it is; null without one. @throws GatecastError USAGE when no port is free */
export async function startPage(
  listen: string,
  stops: Stops,
  log: Logger,
  options: Omit<PageOptions, 'host' | 'port'>,
): Promise<string | null> {
  const address = parseListen(listen);
  if (address === null) return null;
  const page = new PageServer({ ...address, ...options });
  const url = await page.start();
  stops.add('page', () => page.stop());
  log.info('page', { url });
  return url;
}
