/** The clock hold of an agent whose broker answers no ping and keeps no readings, unless `parts` say otherwise. */
import { ClockHold, type ClockHoldParts } from '../../src/agent/clock-hold.ts';

export const testHold = (parts: Partial<ClockHoldParts> & Pick<ClockHoldParts, 'clock'>): ClockHold =>
  new ClockHold({
    streams: () => [],
    probe: () => {},
    relearnWindow: () => {},
    keptMs: () => 0,
    isBridge: false,
    ...parts,
  });
