/** A backtest of an hourly CSV file without a model folder; tests change what they are about. */
import type { BacktestRequest } from '../../src/backtest/request.ts';
import { ModelRegistry } from '../../src/model/registry.ts';

export const hourlyBacktest = (change: Partial<BacktestRequest> = {}): BacktestRequest => ({
  time: ['time'],
  columns: 'all',
  interval: 3_600_000,
  horizon: 8,
  start: 0.5,
  stride: 4,
  model: 'base',
  fill: 'model',
  aggregate: 'mean',
  timezone: 'UTC',
  finetune: null,
  json: true,
  registry: new ModelRegistry(null),
  ...change,
});
