import type { EmittedNode } from './emitter.js';
import type { Recompute } from '../types.js';

const copySuffix = '/again';

/** Name of the tensor of which this one is a copy, or its own. */
export const originalName = (tensor: string): string =>
  tensor.endsWith(copySuffix) ? tensor.slice(0, -copySuffix.length) : tensor;

export interface RecomputeOptions {
  readonly levels: Recompute;
  /** Tensors that are results other than gradients: what they need is the forward pass. */
  readonly forward: readonly string[];
  /** Whether a tensor is stored with the graph. */
  readonly isConstant: (tensor: string) => boolean;
  /** A node whose result is this tensor under another name, which the runtime cannot know to be the same. */
  readonly opaque: (tensor: string) => EmittedNode;
}

/**
 * Activation recomputation (Chen et al. 2016, arXiv 1604.06174): what the forward pass computes inside a segment of the given levels is
 * not kept for the way back; nodes of the way back read copies of it, computed again from what enters the segment. A copy has the
 * operator, attributes and operands of its original, so its bits are the same.
 *
 * Copies stand between the forward pass and the way back, which makes them run when they are first needed (`executionOrder`). A copy that
 * would read just what its original reads does so through an opaque node, or the runtime would merge the two.
 */
export function recomputed(nodes: readonly EmittedNode[], options: RecomputeOptions): readonly EmittedNode[] {
  if (options.levels === 'none') return nodes;
  const makers = new Map(nodes.flatMap((node) => node.outputs.map((output) => [output, node] as const)));
  const forward = ancestors(makers, options.forward);
  const inner = innerTensors(nodes, makers, forward, options);
  const copies = new Map<EmittedNode, EmittedNode>();
  const opaque = new Map<string, EmittedNode>();

  const hidden = (tensor: string): string => {
    if (options.isConstant(tensor)) return tensor;
    const node = opaque.get(tensor) ?? options.opaque(tensor);
    opaque.set(tensor, node);
    return node.outputs[0]!;
  };
  const again = (tensor: string): string => {
    if (!inner.has(tensor)) return tensor;
    const original = makers.get(tensor)!;
    const copy = copies.get(original) ?? copyOf(original);
    copies.set(original, copy);
    return copy.outputs[original.outputs.indexOf(tensor)]!;
  };
  const copyOf = (original: EmittedNode): EmittedNode => {
    const inputs = original.inputs.map(again);
    const differs = inputs.some((input, i) => input !== original.inputs[i]);
    return {
      ...original,
      name: original.name + copySuffix,
      inputs: differs ? inputs : inputs.map(hidden),
      outputs: original.outputs.map((output) => output + copySuffix),
    };
  };

  const there = nodes.filter((node) => forward.has(node));
  const back = nodes
    .filter((node) => !forward.has(node))
    .map((node) =>
      node.inputs.some((input) => inner.has(input)) ? { ...node, inputs: node.inputs.map(again) } : node,
    );
  return [...there, ...opaque.values(), ...there.flatMap((node) => copies.get(node) ?? []), ...back];
}

function ancestors(makers: ReadonlyMap<string, EmittedNode>, tensors: readonly string[]): Set<EmittedNode> {
  const found = new Set<EmittedNode>();
  const pending = [...tensors];
  for (let tensor = pending.pop(); tensor !== undefined; tensor = pending.pop()) {
    const maker = makers.get(tensor);
    if (maker === undefined || found.has(maker)) continue;
    found.add(maker);
    pending.push(...maker.inputs);
  }
  return found;
}

/** Tensors of the forward pass that are made and read inside one segment of the levels. A tensor and its reshaped views are one. */
function innerTensors(
  nodes: readonly EmittedNode[],
  makers: ReadonlyMap<string, EmittedNode>,
  forward: ReadonlySet<EmittedNode>,
  { levels, forward: results, isConstant }: RecomputeOptions,
): Set<string> {
  const buffers = new Map<string, string>();
  const buffer = (tensor: string): string => buffers.get(tensor) ?? tensor;
  const varying = new Set<string>();
  for (const node of nodes) {
    const [source] = node.inputs;
    if (node.op === 'Reshape' && makers.has(source!)) buffers.set(node.outputs[0]!, buffer(source!));
    const varies = (tensor: string): boolean => (makers.has(tensor) ? varying.has(tensor) : !isConstant(tensor));
    if (node.inputs.some(varies)) node.outputs.forEach((output) => varying.add(output));
  }
  const kept = new Set(results.map(buffer));
  for (const node of forward) {
    if (buffers.has(node.outputs[0]!)) continue;
    const name = node.segment?.name;
    for (const input of node.inputs) if (makers.get(buffer(input))?.segment?.name !== name) kept.add(buffer(input));
  }
  const inner = new Set<string>();
  for (const [tensor] of makers) {
    const maker = makers.get(buffer(tensor))!;
    const level = maker.segment?.level;
    if (level === undefined || (levels !== 'all' && levels !== 'none' && !levels.includes(level))) continue;
    if (forward.has(makers.get(tensor)!) && varying.has(tensor) && !kept.has(buffer(tensor))) inner.add(tensor);
  }
  return inner;
}
