/** The table of cells. A new cell is a file beside this one and a row here. */
import type { Cell } from '../spec.ts';
import type { CellOps } from './cell.ts';
import { gru } from './gru.ts';

export const CELL_OPS: Readonly<Partial<Record<Cell, CellOps>>> = { gru };
