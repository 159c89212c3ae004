import { simplify } from '../graph/index.js';
import type { SimplifiedGraph } from '../graph/index.js';
import type { Recompute, TracedGraph } from '../types.js';
import { chooseConvolution } from './convolution/choose.js';
import { gradientPrefix } from './gradients.js';
import { lowerToModel, resolveFor } from './lower.js';
import type { LiveMemory } from './live-memory.js';
import type { LoweringOptions } from './options.js';

export interface LoweringSummary {
  readonly name: string;
  readonly recordedNodes: number;
  readonly simplifiedValues: number;
  readonly onnxNodes: number;
  readonly onnxBytesOfConstants: number;
  /** What a run holds at once, by reckoning. */
  readonly memory: LiveMemory;
  /** The same for what may be computed again: nothing, the finest level, the two finest, and so on to all. Empty without gradients. */
  readonly recomputation: readonly {
    readonly recompute: Recompute;
    readonly peakBytes: number;
    readonly onnxNodes: number;
  }[];
  /** ONNX operators by count, most frequent first. */
  readonly operators: Readonly<Record<string, number>>;
  /** Rewrites by simplification rule. */
  readonly rules: Readonly<Record<string, number>>;
  /** One line per convolution kernel: what it is and how it is computed. */
  readonly convolutions: readonly {
    readonly op: string;
    readonly filter: readonly number[];
    readonly output: readonly number[];
    readonly strategy: string;
  }[];
}

const byCount = (counts: Iterable<readonly [string, number]>): Record<string, number> =>
  Object.fromEntries([...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)));

/** From nothing to everything, the finest levels first: they hold the most per operation saved. */
function recomputations({ values, outputs }: SimplifiedGraph): Recompute[] {
  const levels = [...new Set(values.flatMap(({ segment }) => segment?.level ?? []))].sort((a, b) => a - b);
  if (levels.length === 0 || !Object.keys(outputs).some((name) => name.startsWith(gradientPrefix))) return [];
  return ['none', ...levels.slice(0, -1).map((_, count) => levels.slice(0, count + 1)), 'all'];
}

/** What lowering did to a graph: for `thaw engine graph --summary`, and to see why something is slow. */
export function summarize(graph: TracedGraph, options: LoweringOptions = {}): LoweringSummary {
  const simplified: SimplifiedGraph = simplify(graph);
  const resolved = resolveFor(simplified, options);
  const { model, memory } = lowerToModel(simplified, resolved);
  const operators = new Map<string, number>();
  for (const node of model.nodes) operators.set(node.op, (operators.get(node.op) ?? 0) + 1);
  const convolutions = simplified.values.flatMap((value) => {
    const strategy = chooseConvolution(value, resolved);
    if (strategy === undefined) return [];
    const { filterShape, outputShape } = value.attributes as { filterShape: number[]; outputShape: number[] };
    return [{ op: value.op, filter: filterShape, output: outputShape, strategy: strategy.name }];
  });
  return {
    name: graph.name,
    recordedNodes: graph.nodes.length,
    simplifiedValues: simplified.values.length,
    onnxNodes: model.nodes.length,
    onnxBytesOfConstants: model.initializers.reduce((sum, { data }) => sum + data.byteLength, 0),
    memory,
    recomputation: recomputations(simplified).map((recompute) => {
      const { model: again, memory: less } = lowerToModel(simplified, { ...resolved, recompute });
      return { recompute, peakBytes: less.peakBytes, onnxNodes: again.nodes.length };
    }),
    operators: byCount(operators),
    rules: byCount(simplified.ruleHits),
    convolutions,
  };
}
