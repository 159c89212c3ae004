import { ThawError } from '@thaw/shared/protocol';
import { encodeModel } from '../onnx/index.js';
import type { OnnxModel, OnnxValueInfo } from '../onnx/index.js';
import { range, simplify, unsupportedOp } from '../graph/index.js';
import type { SimplifiedGraph, Value } from '../graph/index.js';
import type { DType, PreparedWeight, Program, Recompute, TracedGraph } from '../types.js';
import { assemble } from './assemble.js';
import type { GraphOutput } from './assemble.js';
import { fuseBiases } from './bias.js';
import type { Lowering, LoweringContext } from './context.js';
import { chooseConvolution } from './convolution/choose.js';
import { programDigest, sha256 } from './digest.js';
import { elementwiseLowerings } from './elementwise.js';
import { OnnxEmitter } from './emitter.js';
import type { Emitted } from './emitter.js';
import { gradientPrefix } from './gradients.js';
import { Layouts } from './layouts.js';
import type { AxisOrder } from './layouts.js';
import { matMulLowerings } from './matmul.js';
import { kernelOfNode } from './operator-use.js';
import type { OperatorUse } from './operator-use.js';
import { movementLowerings } from './movement.js';
import { loweringVersion, resolveOptions } from './options.js';
import type { LiveMemory } from './live-memory.js';
import type { LoweringOptions, ResolvedOptions } from './options.js';
import { PreparedWeights } from './prepared-weights.js';
import { reductionLowerings } from './reductions.js';
import { storedOrders, storedWeight } from './weights.js';

const lowerings: Readonly<Record<string, Lowering>> = {
  ...elementwiseLowerings,
  ...movementLowerings,
  ...reductionLowerings,
  ...matMulLowerings,
};

/**
 * Lowers a recorded program to ONNX.
 *
 * Weights are inputs of the graph in the shape of their stored order (`StoredWeight.permutation`). An output
 * `grad/<weight>` holds the elements of the gradient in that same order; its declared shape is whatever the last
 * operation left (its elements, read flat, are what counts). Weights that the outputs do not depend on are listed in
 * `Program.weights` but are no inputs of the graph. With `fixedWeights` the graph has to be completed by constants and by what is
 * prepared of weights; see `Program`. Equal graphs and options give equal bytes.
 *
 * @throws THAW_ENGINE_UNSUPPORTED_OP naming the tfjs kernel and its shapes.
 */
export function lower(graph: TracedGraph, options: LoweringOptions = {}): Program {
  return lowerSimplified(simplify(graph), options);
}

/** The second half of `lower`, for a graph that is simplified already. */
export function lowerSimplified(graph: SimplifiedGraph, options: LoweringOptions = {}): Program {
  const resolved = resolveFor(graph, options);
  const { model, uses, orders, prepared } = lowerToModel(graph, resolved);
  if (options.missing !== undefined) refuseMissing(graph.name, uses, options.missing);
  const onnx = encodeModel(model);
  const read = new Set(model.nodes.flatMap((node) => node.inputs));
  const byRole = (role: string): Value[] => graph.inputs.filter((input) => input.attributes['role'] === role);
  const program = {
    name: graph.name,
    onnx,
    weights: byRole('weight')
      .filter((weight) => !resolved.fixedWeights || read.has(nameOf(weight)))
      .map((weight) => storedWeight(weight, orders.get(weight))),
    prepared,
    inputs: byRole('input').map((input) => ({
      name: nameOf(input),
      shape: [...input.shape],
      dtype: input.dtype as DType,
    })),
    outputs: model.outputs.map(({ name, shape, dtype }) => ({ name, shape: [...shape], dtype: dtype as DType })),
  };
  return {
    ...program,
    digest: programDigest(program),
    resultDigest:
      resolved.recompute === 'none'
        ? sha256(onnx)
        : sha256(encodeModel(lowerToModel(graph, { ...resolved, recompute: 'none' }).model)),
    loweringVersion,
    blockedConv: resolved.capabilities.blockedConv,
  };
}

function refuseMissing(
  program: string,
  uses: readonly OperatorUse[],
  missing: NonNullable<LoweringOptions['missing']>,
): void {
  for (const use of uses) {
    const why = missing(use);
    if (why === undefined) continue;
    const kernel = kernelOfNode(use.node);
    throw new ThawError(
      'THAW_ENGINE_UNSUPPORTED_OP',
      `program '${program}' cannot be computed: ${why}, which the tfjs operation ${kernel ?? use.node} needs.`,
      { details: { program, operator: use.operator, ...(kernel !== undefined && { kernel }) } },
    );
  }
}

/** A training program has one batch size for a whole run; any other may be lowered for several that must agree. */
export const resolveFor = (graph: SimplifiedGraph, options: LoweringOptions): ResolvedOptions =>
  resolveOptions(options, { training: Object.keys(graph.outputs).some((name) => name.startsWith(gradientPrefix)) });

const isWeight = (input: Value): boolean => input.attributes['role'] === 'weight';
const nameOf = (input: Value): string => input.attributes['name'] as string;

interface Lowered {
  readonly model: OnnxModel;
  readonly memory: LiveMemory;
  /** Every node of the model with its types, in the model's order. */
  readonly uses: readonly OperatorUse[];
  readonly orders: ReadonlyMap<Value, AxisOrder>;
  readonly prepared: readonly PreparedWeight[];
}

/** The ONNX graph itself, before it is serialised. */
export function lowerToModel(graph: SimplifiedGraph, options: ResolvedOptions): Lowered {
  checkLevels(graph, options.recompute);
  const emitter = new OnnxEmitter({ microsoftOps: options.capabilities.microsoftOps, hideShapes: options.hideShapes });
  const layouts = new Layouts(emitter);
  const orders = storedOrders(graph, options);
  const inputs = graph.inputs.map((input): OnnxValueInfo => {
    const order = orders.get(input) ?? range(input.shape.length);
    const tensor = { name: nameOf(input), shape: order.map((axis) => input.shape[axis]!), dtype: input.dtype };
    if (options.fixedWeights && isWeight(input)) emitter.declareConstant(tensor.name);
    layouts.place(input, tensor, order);
    return tensor;
  });
  const prepared = new PreparedWeights();
  emitValues(graph, { emitter, layouts, options, prepared });
  emitter.segment = undefined;
  const outputs = placeOutputs(graph, emitter, layouts, orders);
  const given = options.fixedWeights
    ? [
        ...inputs.filter((_, i) => !isWeight(graph.inputs[i]!)),
        ...prepared.all.map(({ name, shape }) => ({ name, shape, dtype: 'float32' as const })),
      ]
    : inputs;
  return {
    ...assemble(graph.name, emitter, given, outputs, options.recompute, inputs),
    orders,
    prepared: prepared.all,
  };
}

function checkLevels({ name, values }: SimplifiedGraph, recompute: Recompute): void {
  if (typeof recompute === 'string') return;
  const levels = new Set(values.flatMap(({ segment }) => segment?.level ?? []));
  const unknown = recompute.find((level) => !levels.has(level));
  if (unknown === undefined) return;
  const known = [...levels].sort((a, b) => a - b).join(', ');
  throw new ThawError(
    'THAW_CONFIG_INVALID',
    `level ${unknown} cannot be computed again: program '${name}' has ${known === '' ? 'no levels' : `the levels ${known}`}`,
  );
}

function emitValues(graph: SimplifiedGraph, parts: Omit<LoweringContext, 'biasOf'>): void {
  const { emitter, layouts, options } = parts;
  const biases = fuseBiases(graph);
  const context: LoweringContext = { ...parts, biasOf: (value) => biases.biasOf.get(value) };
  const emitOne = (value: Value): void => {
    emitter.scope = `${value.origin}.${value.id}`;
    emitter.segment = value.segment;
    const emit = chooseConvolution(value, options)?.lower ?? lowerings[value.op];
    if (emit === undefined)
      throw unsupportedOp(
        value.origin,
        value.inputs.map((input) => input.shape),
        value.shape,
      );
    emit(context, value);
  };
  for (const value of graph.values) {
    if (layouts.isPlaced(value) || biases.absorbed.has(value)) continue;
    const convolution = biases.sumOf.get(value);
    emitOne(convolution ?? value);
    if (convolution !== undefined) layouts.placeAs(value, convolution);
  }
}

/** Gradients in the stored order of their weight, everything else in the program's order. */
function placeOutputs(
  graph: SimplifiedGraph,
  emitter: OnnxEmitter,
  layouts: Layouts,
  orders: ReadonlyMap<Value, AxisOrder>,
): GraphOutput[] {
  const weightOrders = new Map([...orders].map(([weight, order]) => [nameOf(weight), order]));
  return Object.entries(graph.outputs).map(([name, value]): GraphOutput => {
    emitter.scope = `output ${name}`;
    if (!name.startsWith(gradientPrefix)) return { name, tensor: layouts.natural(value) };
    const order = weightOrders.get(name.slice(gradientPrefix.length)) ?? range(value.shape.length);
    return { name, tensor: withoutReshape(emitter, layouts.in(value, order)) };
  });
}

/** A Reshape onto a graph output is a copy; a gradient is read flat, so what the Reshape reads will do. */
function withoutReshape(emitter: OnnxEmitter, tensor: Emitted): Emitted {
  return emitter.reshapedFrom(tensor) ?? tensor;
}
