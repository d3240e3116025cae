import { describe, expect, it } from 'vitest';
import { GatecastError } from '../../src/errors.ts';
import {
  type NetworkSpec,
  stateLayout,
  stateRows,
  stepInputs,
  validateSpec,
} from '../../src/network/spec.ts';
import { BARE, DIRECT, LEAD } from './support.ts';

function wrongPaths(spec: unknown): string[] {
  try {
    validateSpec(spec as NetworkSpec);
    return [];
  } catch (error) {
    expect(error).toBeInstanceOf(GatecastError);
    expect((error as GatecastError).code).toBe('NETWORK_INVALID');
    return (error as GatecastError).issues.map(({ path }) => path);
  }
}

describe('validation', () => {
  it.each([BARE, { ...BARE, head: DIRECT }, { ...BARE, head: LEAD }, { ...BARE, layers: 2, dropout: 0.5 }])(
    'takes %o',
    (spec) => expect(wrongPaths(spec)).toEqual([]),
  );

  it.each<[object, string]>([
    [{ cell: 'transformer' }, 'cell'],
    [{ layers: 0 }, 'layers'],
    [{ layers: 5 }, 'layers'],
    [{ hidden: 0 }, 'hidden'],
    [{ hidden: 16.5 }, 'hidden'],
    [{ hidden: Number.NaN }, 'hidden'],
    [{ inputs: -1 }, 'inputs'],
    [{ dropout: 1, layers: 2 }, 'dropout'],
    [{ dropout: Number.NaN }, 'dropout'],
    [{ dropout: 0.1 }, 'dropout'],
    [{ attention: { memory: 0 } }, 'attention.memory'],
    [{ convolution: { kernel: 1, channels: 4 } }, 'convolution.kernel'],
    [{ convolution: { kernel: 3, channels: 0 } }, 'convolution.channels'],
    [{ head: { ...DIRECT, leads: 0 } }, 'head.leads'],
    [{ head: { ...LEAD, experts: 0 } }, 'head.experts'],
    [{ head: { ...LEAD, features: -1 } }, 'head.features'],
    [{ head: { ...LEAD, width: 0 } }, 'head.width'],
    [{ head: { kind: 'magic' } }, 'head.kind'],
  ])('refuses %o', (wrong, path) => {
    expect(wrongPaths({ ...BARE, ...wrong })).toEqual([path]);
  });

  it('names every wrong setting at once', () => {
    const wrong = { ...BARE, cell: 'x', hidden: 0, attention: { memory: 1 } };
    expect(wrongPaths(wrong)).toEqual(['cell', 'hidden', 'attention.memory']);
  });
});

describe('layout of the state', () => {
  it('is the hidden states alone for a plain GRU', () => {
    expect(stateRows({ ...BARE, layers: 3 })).toBe(3);
  });
  it('contains cell states, attention memory and past inputs after them', () => {
    const spec: NetworkSpec = {
      ...BARE,
      cell: 'lstm',
      layers: 2,
      hidden: 16,
      inputs: 7,
      attention: { memory: 5 },
      convolution: { kernel: 4, channels: 3 },
    };
    expect(stateLayout(spec)).toEqual({
      hidden: { from: 0, to: 2 },
      cell: { from: 2, to: 4 },
      memory: { from: 4, to: 8 },
      // 3 x 7 numbers need two rows of 16
      past: { from: 8, to: 10 },
    });
    expect(stateRows(spec)).toBe(10);
  });
  it('x of a step carries z of every lead', () => {
    expect(stepInputs({ ...BARE, head: LEAD }, 10)).toBe(3 + 10 * (2 * 3 + 2));
    expect(stepInputs({ ...BARE, head: DIRECT }, 10)).toBe(3);
  });
});
