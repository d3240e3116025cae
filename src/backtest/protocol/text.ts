/** The text output of a protocol run. */
import type { HorizonResult } from './evaluate.ts';
import type { ProtocolName } from './split.ts';

export interface ProtocolReport {
  readonly protocol: ProtocolName;
  readonly file: string;
  readonly columns: readonly string[];
  readonly parts: { readonly train: number; readonly validation: number; readonly test: number };
  /** Name of the model, or `recipe` for networks trained here. */
  readonly model: string;
  readonly precision: 'int8' | 'float32';
  readonly horizons: readonly HorizonResult[];
}

export function protocolText(reports: readonly ProtocolReport[]): string {
  return reports.map(one).join('\n');
}

function one({ file, protocol, columns, parts, precision, model, horizons }: ProtocolReport): string {
  const seconds = horizons.reduce((sum, horizon) => sum + horizon.seconds, 0);
  const networks = horizons[0]?.networks?.length ?? 0;
  const turns = Math.max(...horizons.map((horizon) => horizon.turns));
  const learnt =
    networks === 0
      ? `model '${model}' without training`
      : `${networks} network${networks > 1 ? 's' : ''} per horizon, trained on the training part in ${seconds.toFixed(0)} s` +
        (turns > 0 ? `, including ${turns} fine-tuning runs on matured windows` : '');
  const lines = [
    `${file}, protocol ${protocol}: ${columns.length} columns, z-scored on the training part`,
    `${parts.train} buckets to train, ${parts.validation} to validate, ${parts.test} to test; ${precision} step`,
    learnt,
    '',
    'horizon  windows     mse     mae',
    ...horizons.map(({ horizon, windows, mse, mae }) =>
      [
        String(horizon).padStart(7),
        String(windows).padStart(9),
        mse.toFixed(4).padStart(8),
        mae.toFixed(4).padStart(8),
      ].join(''),
    ),
  ];
  return `${lines.join('\n')}\n`;
}
