/** The agent's page, where the config wants one. */
import { parseListen } from '../web/listen.ts';
import { PageServer } from '../web/server.ts';
import type { Health } from './health.ts';
import type { Context, Part } from './part.ts';
import type { AgentStreams } from './streams.ts';

export interface PageSources {
  readonly streams: Pick<AgentStreams, 'board'>;
  readonly health: Pick<Health, 'pageStatus' | 'metrics'>;
  /** How many ports after the configured one the page may take. */
  readonly fallbackPorts: number | undefined;
}

export class Page implements Part {
  readonly name = 'page';
  /** Where it is; null without one. */
  url: string | null = null;
  private server: PageServer | null = null;

  constructor(private readonly sources: PageSources) {}

  /** @throws GatecastError LISTEN_FAILED when no port is free */
  async start({ config, log, clock }: Context): Promise<void> {
    const address = parseListen(config().http.listen);
    if (address === null) return;
    const { streams, health, fallbackPorts = 0 } = this.sources;
    this.server = new PageServer({
      ...address,
      fallbackPorts,
      board: streams.board,
      status: () => health.pageStatus(),
      metrics: () => health.metrics(),
      clock,
    });
    this.url = await this.server.start();
    log.info('page', { url: this.url });
  }

  async stop(): Promise<void> {
    await this.server?.stop();
  }
}
