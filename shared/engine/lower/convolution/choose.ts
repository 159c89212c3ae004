import { convolutionOf } from '../../graph/index.js';
import type { Value } from '../../graph/index.js';
import type { ConvolutionAttributes } from '../../types.js';
import type { Lowering } from '../context.js';
import type { AxisOrder } from '../layouts.js';
import type { ResolvedOptions } from '../options.js';
import { blockedDepthwiseFilterGradient, blockedDepthwiseForward, blockedDepthwiseInputGradient } from './blocked.js';
import { toeplitzFilterGradient } from './depthwise-toeplitz.js';
import { factoredFilterGradient, im2colFilterGradient, pointwiseFilterGradient } from './filter-gradient-product.js';
import * as plain from './plain.js';
import {
  estimateFixedPhases,
  estimateFixedWinograd,
  estimatePacked,
  estimatePlain,
  estimateWinograd,
  inputGradientProducts,
  layerOf,
  totalOf,
} from './estimate.js';
import type { Estimate } from './estimate.js';
import { stridedFilterGradient, stridedForward, stridedInputGradient } from './strided-phases.js';
import { winogradFilterGradient, winogradForward, winogradInputGradient, winogradOutputsFirst } from './winograd.js';

/** A way to compute one convolution kernel. */
export interface ConvolutionStrategy {
  readonly name: string;
  readonly lower: Lowering;
  /** The order in which the filter is read, or its gradient computed. */
  readonly filterOrder: AxisOrder;
}

const modelLayout: AxisOrder = [0, 1, 2, 3];

const strategy = (name: string, lower: Lowering, filterOrder: AxisOrder): ConvolutionStrategy => ({
  name,
  lower,
  filterOrder,
});

/**
 * Chooses how a convolution or convolution gradient is computed; undefined for any other operation.
 *
 * The rule, first match; "cheaper" is by the estimates of `estimate.ts`, whose constants were measured:
 * - 3x3, stride 1, padding 1, channels divisible by 4: Winograd on tiles of 2x2 or 4x4 results (2.25 and 4 times fewer
 *   multiplications, and 1.8 and 4 times the filter), or ONNX's own convolution, whichever is cheapest for forward pass and
 *   gradients together: they share the filter's order and tiles.
 * - 4x4, stride 2, padding 1 on even maps, channels divisible by 4: phases (1.8 times fewer multiplications, and no im2col).
 * - filter gradients: one product over the batch; for stride 1 on maps at least 20 wide in the factored form, whose
 *   fewer copies outweigh the padded rows it computes in vain.
 * - depthwise convolutions and both gradients of stride 1, where allowed: in blocks of channels.
 * - other depthwise filter gradients of stride 1: Toeplitz products.
 * - everything else: ONNX's own convolution; also 3x3 and 4x4 forward where the filter is a constant (of the graph, or by `fixedWeights`) and
 *   the others are not much cheaper, since ONNX Runtime then lays out the whole chain in its blocked layout by itself.
 */
export function chooseConvolution(value: Value, options: ResolvedOptions): ConvolutionStrategy | undefined {
  switch (value.op) {
    case 'Conv2D':
      return chooseForward(convolutionOf(value), hasFixedFilter(value, options), options);
    case 'Conv2DBackpropInput':
      return chooseInputGradient(convolutionOf(value), options);
    case 'Conv2DBackpropFilter':
      return chooseFilterGradient(convolutionOf(value), options);
    case 'DepthwiseConv2dNative':
      return takesBlocks(convolutionOf(value), options) && !hasFixedFilter(value, options)
        ? strategy(`blocked-${options.capabilities.blockedConv}`, blockedDepthwiseForward, plain.depthwiseChannelsFirst)
        : strategy('plain', plain.plainDepthwiseForward, plain.depthwiseChannelsFirst);
    case 'DepthwiseConv2dNativeBackpropInput':
      return takesBlocks(convolutionOf(value), options)
        ? strategy(
            `blocked-${options.capabilities.blockedConv}`,
            blockedDepthwiseInputGradient,
            plain.depthwiseChannelsFirst,
          )
        : strategy('plain', plain.plainDepthwiseInputGradient, plain.depthwiseChannelsFirst);
    case 'DepthwiseConv2dNativeBackpropFilter':
      return chooseDepthwiseFilterGradient(convolutionOf(value), options);
    default:
      return undefined;
  }
}

function chooseForward(g: ConvolutionAttributes, constant: boolean, options: ResolvedOptions): ConvolutionStrategy {
  const m = constant ? fixedTile(g, options) : winogradTile(g, options);
  if (m !== undefined)
    return strategy(
      `winograd-${m}`,
      winogradForward(m, { outputsFirst: constant }),
      constant ? winogradOutputsFirst : modelLayout,
    );
  if (takesPhases(g, options) && !(constant && staysPlainStrided(g)))
    return strategy('strided-phases', stridedForward, modelLayout);
  return strategy('plain', plain.plainForward, plain.filterChannelsFirst);
}

function chooseInputGradient(g: ConvolutionAttributes, options: ResolvedOptions): ConvolutionStrategy {
  const m = winogradTile(g, options);
  if (m !== undefined)
    return strategy(
      `winograd-${m}`,
      winogradInputGradient(m, { filterFirst: inputGradientProducts(layerOf(g), m).filterFirst }),
      modelLayout,
    );
  if (takesPhases(g, options)) return strategy('strided-phases', stridedInputGradient, modelLayout);
  return strategy('plain', plain.plainInputGradient, plain.filterChannelsFirst);
}

function chooseFilterGradient(g: ConvolutionAttributes, options: ResolvedOptions): ConvolutionStrategy {
  const m = winogradTile(g, options);
  if (m !== undefined) return strategy(`winograd-${m}`, winogradFilterGradient(m), modelLayout);
  if (takesPhases(g, options)) return strategy('strided-phases', stridedFilterGradient, modelLayout);
  if (options.formulations.filterGradientProduct && isUndilated(g)) {
    const unitStride = g.strides[0] === 1 && g.strides[1] === 1;
    if (isPointwise(g)) return strategy('pointwise-product', pointwiseFilterGradient, plain.filterChannelsFirst);
    if (unitStride && g.outputShape[1]! >= 20)
      return strategy('factored-product', factoredFilterGradient, plain.filterChannelsFirst);
    return strategy('im2col-product', im2colFilterGradient, plain.filterChannelsFirst);
  }
  return strategy('plain', plain.plainFilterGradient, plain.filterChannelsFirst);
}

function chooseDepthwiseFilterGradient(g: ConvolutionAttributes, options: ResolvedOptions): ConvolutionStrategy {
  if (takesBlocks(g, options))
    return strategy(
      `blocked-${options.capabilities.blockedConv}`,
      blockedDepthwiseFilterGradient,
      plain.depthwiseChannelsFirst,
    );
  const fits = isUndilated(g) && g.strides.every((stride) => stride === 1) && g.filterShape[3] === 1;
  if (options.formulations.depthwiseToeplitz && fits) {
    return strategy('toeplitz-product', toeplitzFilterGradient, plain.depthwiseChannelsFirst);
  }
  return strategy('plain', plain.plainDepthwiseFilterGradient, plain.depthwiseChannelsFirst);
}

/** Whether ONNX Runtime will see a constant: one of the program, or a weight that never changes. */
const hasFixedFilter = (value: Value, { fixedWeights }: ResolvedOptions): boolean => {
  const filter = value.inputs[1];
  return (
    filter?.op === 'Constant' || (fixedWeights && filter?.op === 'Input' && filter.attributes['role'] === 'weight')
  );
};

function takesBlocks(g: ConvolutionAttributes, { capabilities }: ResolvedOptions): boolean {
  const block = capabilities.blockedConv;
  const [, , channels, multiplier] = g.filterShape as readonly [number, number, number, number];
  return (
    block !== false && channels % block === 0 && multiplier === 1 && isUndilated(g) && g.strides.every((n) => n === 1)
  );
}

const isUndilated = ({ dilations }: ConvolutionAttributes): boolean => dilations.every((dilation) => dilation === 1);

const isPointwise = ({ filterSize, strides, pads }: ConvolutionAttributes): boolean =>
  [...filterSize, ...strides].every((n) => n === 1) && pads.every((pad) => pad === 0);

/** Filter side, stride, padding 1 on all sides, no dilation, and rows of whole vectors. */
function hasForm(g: ConvolutionAttributes, side: number, stride: number): boolean {
  return (
    isUndilated(g) &&
    g.filterSize.every((n) => n === side) &&
    g.strides.every((n) => n === stride) &&
    g.pads.every((pad) => pad === 1) &&
    g.filterShape[2]! % 4 === 0 &&
    g.filterShape[3]! % 4 === 0
  );
}

/**
 * The batch that a choice is made for where it must not depend on the batch: rows keep their bits in batches of different
 * sizes (`choiceByBatch`).
 */
const typicalBatch = 4;
/** What takes more memory has to be so much cheaper. */
const worthMemory = 0.95;
/** What takes a convolution out of ONNX Runtime's own blocked layout has to be so much cheaper. */
const worthLeavingBlocks = 0.75;
/** Fixed filters are kept transformed. A byte more of that has to save so many nanoseconds of a typical batch: a megabyte half a millisecond. */
const worthByte = 0.5;

/** The tiles by which a 3x3 convolution and its gradients are cheapest; undefined = not by Winograd's algorithm. */
function winogradTile(g: ConvolutionAttributes, options: ResolvedOptions): 2 | 4 | undefined {
  if (!options.formulations.winograd || !hasForm(g, 3, 1)) return undefined;
  const layer = layerOf(g, options.choiceByBatch ? undefined : typicalBatch);
  const cost = (estimate: Estimate): number => (options.choiceByBatch ? totalOf(estimate) : estimate.forward);
  const [two, four] = [cost(estimateWinograd(layer, 2)), cost(estimateWinograd(layer, 4))];
  const m = four < worthMemory * two ? 4 : 2;
  return cost(estimatePlain(layer)) < worthMemory * Math.min(two, four) ? undefined : m;
}

/** The same for the forward pass with a filter that never changes. */
function fixedTile(g: ConvolutionAttributes, options: ResolvedOptions): 2 | 4 | undefined {
  if (!options.formulations.winograd || !hasForm(g, 3, 1)) return undefined;
  const layer = layerOf(g, typicalBatch);
  const [two, four] = [estimateFixedWinograd(layer, 2), estimateFixedWinograd(layer, 4)];
  const moreBytes = 4 * (36 - 16) * layer.c * layer.o;
  const [m, cost] = four + worthByte * moreBytes < two ? [4 as const, four] : [2 as const, two];
  return cost < worthLeavingBlocks * estimatePacked(layer, 3) ? m : undefined;
}

const staysPlainStrided = (g: ConvolutionAttributes): boolean => {
  const layer = layerOf(g, typicalBatch);
  return estimateFixedPhases(layer) >= worthLeavingBlocks * estimatePacked(layer, 4);
};

const takesPhases = (g: ConvolutionAttributes, { formulations }: ResolvedOptions): boolean =>
  formulations.stridedPhases && hasForm(g, 4, 2) && g.inputShape[1]! % 2 === 0 && g.inputShape[2]! % 2 === 0;
