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
import { tileCount } from './winograd-tiles.js';
import { stridedFilterGradient, stridedForward, stridedInputGradient } from './strided-phases.js';
import { winogradFilterGradient, winogradForward, winogradInputGradient } from './winograd.js';

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
 * The rule, from measurements on x64 (`bench/`, one thread), first match:
 * - 3x3, stride 1, padding 1, channels divisible by 4: Winograd. Tiles of 4x4 results (4 times fewer multiplications),
 *   but of 2x2 (2.25 times) on maps up to 10 wide with sqrt(C * O) >= 300, where transformed filters of 4 times the
 *   size would cost more memory traffic than they save; and in training programs with sqrt(C * O) >= 64 where so few
 *   tiles share a filter that transforming it costs more than the products (`tileCost`).
 * - 4x4, stride 2, padding 1 on even maps, channels divisible by 4: phases (1.8 times fewer multiplications, and no im2col).
 * - filter gradients: one product over the batch; for stride 1 on maps at least 20 wide in the factored form, whose
 *   fewer copies outweigh the padded rows it computes in vain.
 * - depthwise convolutions and both gradients of stride 1, where allowed: in blocks of channels.
 * - other depthwise filter gradients of stride 1: Toeplitz products.
 * - everything else: ONNX's own convolution; also 3x3 and 4x4 forward where the filter is a constant (of the graph, or by `fixedWeights`) and
 *   small, since ONNX Runtime then lays out the whole chain in its blocked layout by itself.
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
  if (constant && !outdoesPacked(g)) return strategy('plain', plain.plainForward, plain.filterChannelsFirst);
  const m = winogradTile(g, options);
  if (m !== undefined) return strategy(`winograd-${m}`, winogradForward(m), modelLayout);
  if (takesPhases(g, options)) return strategy('strided-phases', stridedForward, modelLayout);
  return strategy('plain', plain.plainForward, plain.filterChannelsFirst);
}

function chooseInputGradient(g: ConvolutionAttributes, options: ResolvedOptions): ConvolutionStrategy {
  const m = winogradTile(g, options);
  if (m !== undefined) return strategy(`winograd-${m}`, winogradInputGradient(m), modelLayout);
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

/** Whether a transformed filter is better than one that ONNX Runtime packs for its own convolution, as it does with constants. */
function outdoesPacked(g: ConvolutionAttributes): boolean {
  const [, , c, o] = g.filterShape as readonly [number, number, number, number];
  const channels = Math.sqrt(c * o);
  return channels >= 300 || (channels >= 90 && g.outputShape[1]! >= 16);
}

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

function winogradTile(g: ConvolutionAttributes, options: ResolvedOptions): 2 | 4 | undefined {
  if (!options.formulations.winograd || !hasForm(g, 3, 1)) return undefined;
  const [, , c, o] = g.filterShape as readonly [number, number, number, number];
  const channels = Math.sqrt(c * o);
  if (g.outputShape[1]! <= 10 && channels >= 300) return 2;
  return options.choiceByBatch && channels >= 64 && tileCost(g, 2) < tileCost(g, 4) ? 2 : 4;
}

/** Rows below which a product with transformed filters costs what reading them costs. */
const leastRows = 14;

/** Operations per element of the filter: those of its transform (a product with t*t rows of 9), and those of the products. */
function tileCost(g: ConvolutionAttributes, m: 2 | 4): number {
  const [n, height, width] = g.outputShape as readonly [number, number, number, number];
  const taps = (m + 2) * (m + 2);
  return taps * (2 * 9 + 2 * Math.max(leastRows, tileCount(n, height, width, m)));
}

const takesPhases = (g: ConvolutionAttributes, { formulations }: ResolvedOptions): boolean =>
  formulations.stridedPhases && hasForm(g, 4, 2) && g.inputShape[1]! % 2 === 0 && g.inputShape[2]! % 2 === 0;
