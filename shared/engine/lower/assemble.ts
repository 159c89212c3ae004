import type { OnnxModel, OnnxNode, OnnxValueInfo } from '../onnx/index.js';
import { hiddenShapePrefix } from './emitter.js';
import type { Emitted, OnnxEmitter } from './emitter.js';

export interface GraphOutput {
  readonly name: string;
  readonly tensor: Emitted;
}

/**
 * The finished graph: nodes that no output needs are left out, and the tensors that are outputs take the outputs'
 * names. An output that is an input, a constant, or another output as well gets an Identity of its own.
 */
export function assemble(
  graphName: string,
  emitter: OnnxEmitter,
  inputs: readonly OnnxValueInfo[],
  outputs: readonly GraphOutput[],
): OnnxModel {
  const computed = new Set(emitter.nodes.flatMap((node) => node.outputs));
  const names = new Map<string, string>();
  const copies: OnnxNode[] = [];
  for (const { name, tensor } of outputs) {
    if (computed.has(tensor.name) && !names.has(tensor.name)) names.set(tensor.name, name);
    else
      copies.push({
        name: `output/${name}`,
        op: 'Identity',
        domain: '',
        inputs: [tensor.name],
        outputs: [name],
        attributes: {},
      });
  }

  const live = new Set([...names.keys(), ...copies.flatMap((copy) => copy.inputs)]);
  const kept: OnnxNode[] = [];
  for (const node of [...emitter.nodes].reverse()) {
    if (!node.outputs.some((output) => live.has(output))) continue;
    node.inputs.forEach((input) => live.add(input));
    kept.unshift(node);
  }
  const rename = (name: string): string => names.get(name) ?? name;
  const nodes = leavesLast([...kept, ...copies]).map((node) => ({
    ...node,
    inputs: node.inputs.map(rename),
    outputs: node.outputs.map(rename),
  }));
  const initializers = [...emitter.initializers.values()].filter(({ name }) => live.has(name));
  const hiddenShapes = initializers.filter(({ name }) => name.startsWith(hiddenShapePrefix));
  return {
    graphName,
    nodes,
    initializers,
    inputs: [...inputs, ...hiddenShapes.map(({ name, dtype, shape }) => ({ name, dtype, shape }))],
    outputs: outputs.map(({ name, tensor }) => ({ name, dtype: tensor.dtype, shape: tensor.shape })),
  };
}

/**
 * Puts the nodes that nothing reads at the end, those made first last. ONNX Runtime executes what the last such node needs,
 * then what the one before needs, and so on: so a gradient is computed as soon as what it needs is there, which can then
 * be freed. In the order in which they were made, it would first compute the gradients of all activations, and keep them.
 */
function leavesLast(nodes: readonly OnnxNode[]): OnnxNode[] {
  const read = new Set(nodes.flatMap((node) => node.inputs));
  const isLeaf = (node: OnnxNode): boolean => !node.outputs.some((output) => read.has(output));
  return [...nodes.filter((node) => !isLeaf(node)), ...nodes.filter(isLeaf).reverse()];
}
