/**
 * Measures how far back a network can learn: the norm of the gradient of one forecast's loss with respect to the hidden
 * state, by time lag (Hochreiter 1991; Bengio, Simard and Frasconi 1994). A gradient that vanishes within a few steps
 * cannot learn longer dependencies; one that grows with the lag explodes.
 */
import { createSession, type NamedArray } from '../model/sessions.ts';
import { leadWidth, type NetworkSpec, stateRows } from '../network/spec.ts';
import { buildTrainingGraph } from '../network/training-graph.ts';
import type { Weights } from '../network/weights.ts';
import { INK, label, linear, linePath, stroke, svgDocument } from '../plot/svg.ts';
import type { TrainingSeries } from './dataset.ts';
import type { Random } from './random.ts';
import { type BatchShape, WindowSampler } from './sampler.ts';

export interface LagCurve {
  readonly name: string;
  /** [T] relative to lag 0; index = steps back. */
  readonly norms: readonly number[];
}

interface DiagnoseOptions extends BatchShape {
  /** Number of batches to average over. */
  readonly batches: number;
}

/** Only the newest origin of each window has a loss, so that the lag of every state to it is known. */
export async function gradientByLag(
  spec: NetworkSpec,
  weights: Weights,
  series: readonly TrainingSeries[],
  options: DiagnoseOptions,
  rng: Random,
): Promise<number[]> {
  const { steps: T, stride, leads: M, batch: B } = options;
  const P = T / stride;
  const graph = buildTrainingGraph(spec, { steps: T, originStride: stride, leads: M, diagnose: true });
  const session = await createSession(graph);
  const sampler = new WindowSampler(
    series,
    series.map((one) => ({ from: 0, to: one.steps })),
    {
      steps: T,
      stride,
      leads: M,
      batch: B,
      stateLayers: stateRows(spec),
      hidden: spec.hidden,
      chunks: 1,
      burnIn: 0,
    },
    rng,
  );
  const squares = new Float64Array(T);
  const fixed: Record<string, NamedArray> = {};
  for (const [name, tensor] of weights) fixed[name] = tensor;
  for (const name of session.inputs) {
    if (name.startsWith('mask.'))
      fixed[name] = { data: new Float32Array(B * spec.hidden).fill(1), shape: [1, B, spec.hidden] };
  }
  try {
    for (let k = 0; k < options.batches; k++) {
      const { x, h0, z, target, weight } = sampler.next();
      weight.fill(0, 0, (P - 1) * B * M);
      const feeds: Record<string, NamedArray> = {
        ...fixed,
        x: { data: x, shape: [T, B, spec.inputs] },
        h0: { data: h0, shape: [stateRows(spec), B, spec.hidden] },
        target: { data: target, shape: [P, B, M] },
        weight: { data: weight, shape: [P, B, M] },
      };
      if (session.inputs.includes('z')) feeds.z = { data: z, shape: [P, B, M, leadWidth(spec)] };
      const norms = (await session.run(feeds, ['state_gradient_norms'])).state_gradient_norms.data;
      for (let layer = 0; layer < spec.layers; layer++) {
        for (let t = 0; t < T; t++) squares[T - 1 - t] += norms[layer * T + t] ** 2;
      }
    }
  } finally {
    await session.release();
  }
  const first = Math.sqrt(squares[0]);
  return Array.from(squares, (one) => (first > 0 ? Math.sqrt(one) / first : 0));
}

/** Lag at which the gradient has fallen to 1 %; null if it does not. */
export function reachOf(norms: readonly number[]): number | null {
  const at = norms.findIndex(
    (norm, lag) => lag > 0 && norm < 0.01 && norms.slice(lag).every((later) => later < 0.02),
  );
  return at < 0 ? null : at;
}

const WIDTH = 780;
const HEIGHT = 400;
const COLOURS = ['#1f5f8b', '#b3412e', '#3f7d4e', '#8a6d1f', '#6b4a8a', '#555'];
const DECADES = 8;

/** One curve for each network, the norm on a logarithmic axis. */
export function lagSvg(curves: readonly LagCurve[]): string {
  const longest = Math.max(1, ...curves.map((curve) => curve.norms.length - 1));
  const x = linear(0, longest, 60, WIDTH - 210);
  const decades = linear(1, -DECADES, 30, HEIGHT - 50);
  const y = (norm: number) => decades(Math.min(1, Math.max(-DECADES, Math.log10(Math.max(norm, 1e-12)))));
  const grid = Array.from({ length: DECADES + 2 }, (_, i) => {
    const at = decades(1 - i);
    return (
      stroke(`M60 ${at.toFixed(1)}H${WIDTH - 210}`, INK.grid) +
      label(52, at + 4, i === 1 ? '1' : `1e${1 - i}`, { anchor: 'end' })
    );
  });
  const lines = curves.map(({ name, norms }, i) => {
    const colour = COLOURS[i % COLOURS.length] ?? INK.line;
    const reach = reachOf(norms);
    const text = `${name}: ${reach === null ? `beyond ${norms.length - 1}` : reach} steps`;
    return (
      stroke(linePath(norms.map((norm, lag) => [x(lag), y(norm)])), colour, 1.6) +
      label(WIDTH - 202, 44 + 18 * i, text, { fill: colour })
    );
  });
  const ticks = Array.from({ length: 7 }, (_, i) => Math.round((i * longest) / 6)).map((lag) =>
    label(x(lag), HEIGHT - 34, String(lag), { anchor: 'middle' }),
  );
  return svgDocument(
    WIDTH,
    HEIGHT,
    11,
    [
      ...grid,
      ...ticks,
      ...lines,
      label((WIDTH - 150) / 2, HEIGHT - 12, 'steps back', { anchor: 'middle' }),
      label(16, HEIGHT / 2, 'gradient norm, relative', { anchor: 'middle', turned: true }),
      label(WIDTH - 202, 26, 'falls to 1 % after'),
    ].join(''),
  );
}
