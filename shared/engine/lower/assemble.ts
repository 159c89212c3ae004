import type { OnnxDataType, OnnxModel, OnnxValueInfo } from '../onnx/index.js';
import { gradientPrefix } from './gradients.js';
import { bytesOf, hiddenShapePrefix } from './emitter.js';
import type { Emitted, EmittedNode, OnnxEmitter } from './emitter.js';
import { liveMemory } from './live-memory.js';
import type { LiveMemory } from './live-memory.js';
import { operatorUse } from './operator-use.js';
import type { OperatorUse } from './operator-use.js';
import type { Recompute } from '../types.js';
import { originalName, recomputed } from './recompute.js';

export interface GraphOutput {
  readonly name: string;
  readonly tensor: Emitted;
}

/**
 * The finished graph: nodes that no output needs are left out, and the tensors that are outputs take the outputs'
 * names. An output that is an input, a constant, or another output as well gets an Identity of its own.
 * @param constants tensors from outside that are perhaps no inputs of the graph: weights that complete it later
 */
export function assemble(
  graphName: string,
  emitter: OnnxEmitter,
  inputs: readonly OnnxValueInfo[],
  outputs: readonly GraphOutput[],
  recompute: Recompute,
  constants: readonly OnnxValueInfo[] = [],
): { readonly model: OnnxModel; readonly memory: LiveMemory; readonly uses: readonly OperatorUse[] } {
  const computed = new Set(emitter.nodes.flatMap((node) => node.outputs));
  const names = new Map<string, string>();
  const copies: EmittedNode[] = [];
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
        segment: undefined,
      });
  }

  const live = new Set([...names.keys(), ...copies.flatMap((copy) => copy.inputs)]);
  const kept: EmittedNode[] = [];
  for (const node of [...emitter.nodes].reverse()) {
    if (!node.outputs.some((output) => live.has(output))) continue;
    node.inputs.forEach((input) => live.add(input));
    kept.unshift(node);
  }
  const tensors = new Map<string, Emitted>(
    [...inputs, ...emitter.tensors.values()].map((tensor) => [tensor.name, tensor]),
  );
  for (const { name, tensor } of outputs) tensors.set(name, tensor);
  const nodes = leavesLast(
    recomputed([...kept, ...copies], {
      levels: recompute,
      forward: outputs.filter(({ name }) => !name.startsWith(gradientPrefix)).map(({ tensor }) => tensor.name),
      isConstant: (name) => emitter.initializers.has(name),
      opaque: (name) => opaqueView(emitter, tensors.get(name)!),
    }),
  );
  nodes.forEach((node) => node.inputs.forEach((input) => live.add(input)));
  const memory = liveMemory(nodes, [...names.keys(), ...copies.flatMap((copy) => copy.outputs)], (name) =>
    bytesOf(tensors.get(originalName(name))!),
  );

  const rename = (name: string): string => names.get(name) ?? name;
  const initializers = [...emitter.initializers.values()].filter(({ name }) => live.has(name));
  const hiddenShapes = initializers.filter(({ name }) => name.startsWith(hiddenShapePrefix));
  const model = {
    graphName,
    nodes: nodes.map(({ segment: _, ...node }) => ({
      ...node,
      inputs: node.inputs.map(rename),
      outputs: node.outputs.map(rename),
    })),
    initializers,
    inputs: [...inputs, ...hiddenShapes.map(({ name, dtype, shape }) => ({ name, dtype, shape }))],
    outputs: outputs.map(({ name, tensor }) => ({ name, dtype: tensor.dtype, shape: tensor.shape })),
  };
  const fixed = new Map(constants.map((constant) => [constant.name, constant]));
  const typeOf = (name: string): OnnxDataType => {
    const source = originalName(name.endsWith(viewSuffix) ? name.slice(0, -viewSuffix.length) : name);
    return (tensors.get(source) ?? emitter.initializers.get(source) ?? fixed.get(source))!.dtype;
  };
  return { model, memory, uses: nodes.map((node) => operatorUse(node, typeOf)) };
}

const viewSuffix = '/kept';

/** A Reshape to the shape that the tensor has already: a view, but as its target is an input of the graph, no optimiser knows. */
function opaqueView(emitter: OnnxEmitter, { name, shape }: Emitted): EmittedNode {
  const target = emitter.int64s(shape, hiddenShapePrefix);
  return {
    name: `${name}${viewSuffix}`,
    op: 'Reshape',
    domain: '',
    inputs: [name, target.name],
    outputs: [`${name}${viewSuffix}`],
    attributes: {},
    segment: undefined,
  };
}

/**
 * Puts the nodes that nothing reads at the end, those made first last. ONNX Runtime executes what the last such node needs,
 * then what the one before needs, and so on: so a gradient is computed as soon as what it needs is there, which can then
 * be freed. In the order in which they were made, it would first compute the gradients of all activations, and keep them.
 */
function leavesLast(nodes: readonly EmittedNode[]): EmittedNode[] {
  const read = new Set(nodes.flatMap((node) => node.inputs));
  const isLeaf = (node: EmittedNode): boolean => !node.outputs.some((output) => read.has(output));
  return [...nodes.filter((node) => !isLeaf(node)), ...nodes.filter(isLeaf).reverse()];
}
