/** Notifies systemd that the agent is ready, alive or stopping. Starts last and stops first. */
import { type Notifier, startWatchdog, systemdNotifier } from '../system/notify.ts';
import type { Context, Part } from './part.ts';
import type { Pipeline } from './pipeline.ts';
import type { AgentStreams } from './streams.ts';

export class Systemd implements Part {
  readonly name = 'systemd';
  private readonly notifier: Notifier = systemdNotifier(process.env);
  private endWatchdog: () => void = () => {};

  constructor(
    private readonly pipeline: Pick<Pipeline, 'progress'>,
    private readonly streams: Pick<AgentStreams, 'size'>,
  ) {}

  start({ clock }: Context): void {
    this.endWatchdog = startWatchdog(this.notifier, clock, () => this.pipeline.progress);
    this.notifier.ready(`${this.streams.size} streams`);
  }

  stop(): void {
    this.notifier.stopping();
    this.endWatchdog();
  }
}
