/** One reading of one stream, after decoding and before bucketing. Pure data. */
export interface Sample {
  /** Name of the stream; already safe as MQTT topic levels. */
  readonly stream: string;
  /** Time of the measurement, ms since 1970 UTC. */
  readonly timeMs: number;
  /** Finite. In the stream's own unit. */
  readonly value: number;
  /** Time of arrival at the agent, ms since 1970 UTC; equals `timeMs` in a backtest. */
  readonly arrivalMs: number;
  /** Whether `timeMs` is an estimate, neither sent with the reading nor the time of arrival: see `agent/arrival-times.ts`. */
  readonly assigned?: boolean;
  /** A time stamp that happens to equal the time of arrival; otherwise equal times mean that the reading had none. */
  readonly stamped?: boolean;
}

/** Whether the reading came without a time stamp, so that its time is that of its arrival. */
export const isUnstamped = ({ timeMs, arrivalMs, stamped }: Sample): boolean =>
  timeMs === arrivalMs && stamped !== true;

/** @param timeMs null: the reading came without a time stamp */
export const decodedSample = (
  stream: string,
  timeMs: number | null,
  value: number,
  arrivalMs: number,
): Sample =>
  timeMs === arrivalMs
    ? { stream, timeMs, value, arrivalMs, stamped: true }
    : { stream, timeMs: timeMs ?? arrivalMs, value, arrivalMs };
