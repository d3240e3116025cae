/** Options of `gatecast train`, as commander gives them. */
import type { Cell } from '../../network/spec.ts';
import type { SearchFlags } from './search.ts';

export interface TrainFlags extends SearchFlags {
  search?: boolean;
  searchOnly?: boolean;
  data?: string[];
  sets?: string;
  without?: string[];
  generated: number;
  generatedSteps: number;
  generatedWeight: number;
  out?: string;
  from?: string;
  widen?: number;
  preview?: string;
  diagnose?: string;
  time?: string[];
  timeFormat?: string;
  columns: 'all' | string[];
  id?: string[];
  interval?: number[];
  horizon: number[];
  missing?: string[];
  delimiter?: string;
  decimal?: '.' | ',';
  /** ms since 1970 */
  clockStart?: number;
  timezone: string;
  licence: string;
  cell: Cell;
  layers: number;
  hidden: number;
  width: number;
  dropout: number;
  attention?: number;
  convolution?: { kernel: number; channels: number };
  steps: number;
  chunks: number;
  stride: number;
  leads: number;
  batch: number;
  lr: number;
  weightDecay: number;
  averaging: number;
  anchor: number;
  clipNorm: number;
  clipValue?: number;
  maxSteps?: number;
  epochs?: number;
  maxTime?: number;
  validation: number;
  patience?: number;
  seed: number;
  resume?: boolean;
  json?: boolean;
}
