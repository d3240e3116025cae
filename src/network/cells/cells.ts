/** The table of cells. A new cell is a file beside this one, a row here and a name in `spec.ts`. */
import type { Cell } from '../spec.ts';
import type { CellOps } from './cell.ts';
import { gru } from './gru.ts';
import { gruResetBefore } from './gru-reset-before.ts';
import { lstm } from './lstm.ts';
import { rnnRelu, rnnTanh } from './rnn.ts';

export const CELL_OPS: Readonly<Record<Cell, CellOps>> = {
  'rnn-tanh': rnnTanh,
  'rnn-relu': rnnRelu,
  lstm,
  gru,
  'gru-reset-before': gruResetBefore,
};
