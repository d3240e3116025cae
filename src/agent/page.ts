/** The agent's page, where the config wants one. */
import { parseListen } from '../web/listen.ts';
import { type PageOptions, PageServer } from '../web/server.ts';
import type { Context, Part } from './part.ts';

export class Page implements Part {
  readonly name = 'page';
  /** Where it is; null without one. */
  url: string | null = null;
  private server: PageServer | null = null;

  constructor(private readonly options: Omit<PageOptions, 'host' | 'port'>) {}

  /** @throws GatecastError LISTEN_FAILED when no port is free */
  async start({ config, log }: Context): Promise<void> {
    const address = parseListen(config().http.listen);
    if (address === null) return;
    this.server = new PageServer({ ...address, ...this.options });
    this.url = await this.server.start();
    log.info('page', { url: this.url });
  }

  async stop(): Promise<void> {
    await this.server?.stop();
  }
}
