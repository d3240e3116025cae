/** The table of cells. To add a cell, add a file beside this one and a row here. */
import type { CellOps } from './cell.ts';
import { gru, gruResetBefore } from './gru.ts';
import { lstm } from './lstm.ts';
import { rnnRelu, rnnTanh } from './rnn.ts';

/** `gru` applies the reset gate after the recurrent product (PyTorch, cuDNN), `gru-reset-before` before it (Cho 2014). */
const TABLE = {
  'rnn-tanh': rnnTanh,
  'rnn-relu': rnnRelu,
  lstm,
  gru,
  'gru-reset-before': gruResetBefore,
} as const satisfies Record<string, CellOps>;

export type Cell = keyof typeof TABLE;
export const CELL_OPS: Readonly<Record<Cell, CellOps>> = TABLE;
export const CELLS = Object.keys(TABLE) as [Cell, ...Cell[]];

/** G: how many gates, the candidate included, a cell computes. */
export const gatesOf = (cell: Cell): number => CELL_OPS[cell].pytorchOrder.length;
