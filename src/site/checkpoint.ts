/** The format of a checkpoint: a header in JSON, then the states of the streams one after the other. */
import { errorText, GatecastError } from '../errors.ts';
import type { StreamSnapshot } from '../forecast/engine-contract.ts';
import type { Told } from '../forecast/relatives.ts';
import type { CovariateName, StreamSpec } from '../series/spec.ts';
import { CONFIGURED, type ModelRef } from './batch.ts';
import type { BridgeTime } from './partition.ts';

const VERSION = 1;

/** The grid of a stream, and its length so far. */
export interface StreamGrid {
  readonly intervalMs: number;
  /** Leads of its forecasts. */
  readonly leads: number;
  /** Buckets closed so far. */
  readonly buckets: number;
  /** Covariates that the stream has chosen; missing where it does not choose. */
  readonly chosen?: readonly CovariateName[];
}

export interface CheckpointStream {
  readonly spec: StreamSpec;
  /** Readings of open buckets: time, value and arrival in turn. */
  readonly open: number[];
  /** The newest forecast as it was published. */
  readonly last: string | null;
  readonly newestMs: number;
  /** For fine-tuning; missing while the interval is being learnt, and in checkpoints of older versions. */
  readonly grid?: StreamGrid;
  /** Null while the interval is being learnt. */
  readonly snapshot: StreamSnapshot | null;
}

export interface Checkpoint {
  readonly seq: number;
  /** When the server stored that message, ms. */
  readonly loggedMs: number;
  readonly tickMs: number;
  readonly untilMs: number | null;
  readonly bridges: readonly (readonly [string, BridgeTime])[];
  readonly streams: readonly CheckpointStream[];
  /** The model that made the states. */
  readonly model: ModelRef;
  /** What streams of one kind have learnt for new ones; missing in checkpoints of older versions. */
  readonly told?: readonly Told[];
}

interface Header extends Omit<Checkpoint, 'streams' | 'model' | 'loggedMs'> {
  readonly v: number;
  /** Missing where it is not known; infinite is `null` in JSON. */
  readonly loggedMs?: number | null;
  readonly model?: ModelRef;
  readonly streams: readonly {
    readonly spec: StreamSpec;
    readonly open: number[];
    readonly last: string | null;
    readonly newestMs: number | null;
    readonly grid?: StreamGrid;
    readonly state: {
      readonly hash: string;
      readonly replayFromMs: number;
      readonly bytes: number;
      /** Bytes of the last inputs, which follow the state. */
      readonly inputs?: number;
    } | null;
  }[];
}

export function encodeCheckpoint({ streams, ...rest }: Checkpoint): Uint8Array {
  const header: Header = {
    v: VERSION,
    ...rest,
    streams: streams.map(({ spec, open, last, newestMs, grid, snapshot }) => ({
      spec,
      open,
      last,
      ...(grid !== undefined && { grid }),
      newestMs: Number.isFinite(newestMs) ? newestMs : null,
      state:
        snapshot === null
          ? null
          : {
              hash: snapshot.modelHash,
              replayFromMs: snapshot.replayFromMs,
              bytes: snapshot.bytes.length,
              inputs: snapshot.inputs?.length ?? 0,
            },
    })),
  };
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.length);
  const states = streams.flatMap(({ snapshot }) =>
    snapshot === null ? [] : [snapshot.bytes, snapshot.inputs ?? new Uint8Array()],
  );
  return Buffer.concat([length, text, ...states]);
}

/** @throws GatecastError SITE_FAILED if the bytes are damaged or were written by a newer version */
export function decodeCheckpoint(bytes: Uint8Array): Checkpoint {
  try {
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const end = 4 + buffer.readUInt32LE(0);
    const {
      v,
      streams,
      model = CONFIGURED,
      loggedMs,
      ...rest
    } = JSON.parse(buffer.toString('utf8', 4, end)) as Header;
    if (v !== VERSION) throw new Error(`version ${v}`);
    let at = end;
    const states = streams.map(({ spec, open, last, newestMs, grid, state }): CheckpointStream => {
      const from = at;
      const middle = from + (state?.bytes ?? 0);
      at = middle + (state?.inputs ?? 0);
      return {
        spec,
        open,
        last,
        ...(grid !== undefined && { grid }),
        newestMs: newestMs ?? Number.NEGATIVE_INFINITY,
        snapshot:
          state === null
            ? null
            : {
                stream: spec.name,
                modelHash: state.hash,
                replayFromMs: state.replayFromMs,
                bytes: buffer.subarray(from, middle),
                inputs: buffer.subarray(middle, at),
              },
      };
    });
    if (at !== buffer.length) throw new Error(`${buffer.length} bytes instead of ${at}`);
    return { ...rest, loggedMs: loggedMs ?? Number.POSITIVE_INFINITY, streams: states, model };
  } catch (cause) {
    throw new GatecastError('SITE_FAILED', `A checkpoint cannot be read: ${errorText(cause)}`, {
      hint: 'The partition is made anew from its log.',
      cause,
    });
  }
}
