import { convolutionOf } from '../../graph/index.js';
import type { Value } from '../../graph/index.js';
import type { ConvolutionAttributes } from '../../types.js';
import type { Lowering, LoweringContext } from '../context.js';
import type { Emitted, OnnxEmitter } from '../emitter.js';
import { channelMajor, channelsFirst } from '../layouts.js';
import type { AxisOrder } from '../layouts.js';

/**
 * Every convolution as ONNX has it. The reference for the other strategies, and the choice for shapes that they do
 * not take: any stride, padding and dilation.
 */

/** [O, C, kh, kw] of a logical HWIO filter: what Conv and ConvTranspose read. */
export const filterChannelsFirst: AxisOrder = [3, 2, 0, 1];
/** [C, multiplier, kh, kw] of a logical depthwise filter [kh, kw, C, multiplier]. */
export const depthwiseChannelsFirst: AxisOrder = [2, 3, 0, 1];

const nchw = ([n, h, w, c]: readonly number[]): number[] => [n!, c!, h!, w!];

const window = ({ filterSize, pads, strides, dilations }: ConvolutionAttributes) => ({
  kernel_shape: filterSize,
  pads,
  strides,
  dilations,
});

function withBias(context: LoweringContext, value: Value, inputs: readonly Emitted[]): Emitted[] {
  const bias = context.biasOf(value);
  return bias === undefined ? [...inputs] : [...inputs, context.layouts.natural(bias)];
}

export const plainForward: Lowering = (context, value) => {
  const { emitter, layouts } = context;
  const [x, filter] = value.inputs as readonly [Value, Value];
  const inputs = withBias(context, value, [layouts.in(x, channelsFirst), layouts.in(filter, filterChannelsFirst)]);
  const attributes = { ...window(convolutionOf(value)), group: 1 };
  layouts.place(value, emitter.emit('Conv', inputs, nchw(value.shape), attributes), channelsFirst);
};

/** Rows and columns of the input that no window reaches: ConvTranspose must add them. */
function outputPadding({
  filterSize,
  pads,
  strides,
  dilations,
  inputShape,
  outputShape,
}: ConvolutionAttributes): number[] {
  return [0, 1].map((k) => {
    const reach = (outputShape[k + 1]! - 1) * strides[k]! + (filterSize[k]! - 1) * dilations[k]! + 1;
    return Math.max(0, inputShape[k + 1]! + pads[k]! + pads[k + 2]! - reach);
  });
}

const isPointwise = ({ filterSize, strides, pads }: ConvolutionAttributes): boolean =>
  [...filterSize, ...strides].every((n) => n === 1) && pads.every((pad) => pad === 0);

/** The gradient with respect to the input is the transposed convolution; for 1x1 one with the transposed filter. */
export const plainInputGradient: Lowering = (context, value) => {
  const { emitter, layouts } = context;
  const [dy, filter] = value.inputs as readonly [Value, Value];
  const geometry = convolutionOf(value);
  if (isPointwise(geometry)) {
    const operands = [layouts.in(dy, channelsFirst), layouts.in(filter, [2, 3, 0, 1])];
    const inputs = withBias(context, value, operands);
    layouts.place(
      value,
      emitter.emit('Conv', inputs, nchw(value.shape), { ...window(geometry), group: 1 }),
      channelsFirst,
    );
    return;
  }
  const inputs = withBias(context, value, [layouts.in(dy, channelsFirst), layouts.in(filter, filterChannelsFirst)]);
  const attributes = { ...window(geometry), output_padding: outputPadding(geometry), group: 1 };
  layouts.place(value, emitter.emit('ConvTranspose', inputs, nchw(value.shape), attributes), channelsFirst);
};

/**
 * The gradient with respect to the filter is the convolution of x with dy, channels and batch exchanged, strides and
 * dilations exchanged: [C, N, H, W] * [O, N, H', W'] -> [C, O, kh, kw].
 */
export const plainFilterGradient: Lowering = ({ emitter, layouts }, value) => {
  const [x, dy] = value.inputs as readonly [Value, Value];
  const { filterSize, pads, strides, dilations, inputShape, outputShape, filterShape } = convolutionOf(value);
  const [kh, kw] = filterSize;
  const reach = [0, 1].map((k) => {
    const covered = inputShape[k + 1]! + pads[k]! + pads[k + 2]! - (outputShape[k + 1]! - 1) * strides[k]! - 1;
    return Math.floor(covered / dilations[k]!) + 1;
  });
  const shape = [filterShape[2]!, filterShape[3]!, reach[0]!, reach[1]!];
  const attributes = { kernel_shape: outputShape.slice(1, 3), pads, strides: dilations, dilations: strides, group: 1 };
  const full = emitter.emit('Conv', [layouts.in(x, channelMajor), layouts.in(dy, channelMajor)], shape, attributes);
  layouts.place(value, emitter.slice(full, [2, 3], [0, 0], [kh, kw]), [2, 3, 0, 1]);
};

/** Channels as groups. ONNX orders the results of a group by multiplier, as tfjs does. */
export const plainDepthwiseForward: Lowering = (context, value) => {
  const { emitter, layouts } = context;
  const [x, filter] = value.inputs as readonly [Value, Value];
  const geometry = convolutionOf(value);
  const [kh, kw, channels, multiplier] = geometry.filterShape as readonly [number, number, number, number];
  const grouped = emitter.reshape(layouts.in(filter, depthwiseChannelsFirst), [channels * multiplier, 1, kh, kw]);
  const inputs = withBias(context, value, [layouts.in(x, channelsFirst), grouped]);
  const attributes = { ...window(geometry), group: channels };
  layouts.place(value, emitter.emit('Conv', inputs, nchw(value.shape), attributes), channelsFirst);
};

/** For stride 1 a convolution with the filter turned by 180 degrees, which ONNX Runtime does faster; else transposed. */
export const plainDepthwiseInputGradient: Lowering = (context, value) => {
  const { emitter, layouts } = context;
  const [dy, filter] = value.inputs as readonly [Value, Value];
  const geometry = convolutionOf(value);
  const { filterSize, pads, strides, dilations, filterShape } = geometry;
  const [kh, kw, channels, multiplier] = filterShape as readonly [number, number, number, number];
  const grouped = emitter.reshape(layouts.in(filter, depthwiseChannelsFirst), [channels * multiplier, 1, kh, kw]);
  const image = layouts.in(dy, channelsFirst);
  if (strides[0] === 1 && strides[1] === 1 && multiplier === 1) {
    const reach = [0, 1, 0, 1].map((k) => (filterSize[k]! - 1) * dilations[k]!);
    const turned = turnFilter(context, grouped);
    const attributes = { ...window(geometry), pads: pads.map((pad, k) => reach[k]! - pad), group: channels };
    layouts.place(value, emitter.emit('Conv', [image, turned], nchw(value.shape), attributes), channelsFirst);
    return;
  }
  const attributes = { ...window(geometry), output_padding: outputPadding(geometry), group: channels };
  layouts.place(value, emitter.emit('ConvTranspose', [image, grouped], nchw(value.shape), attributes), channelsFirst);
};

/** taps - 1 .. 0: a filter whose taps are taken in this order is turned by 180 degrees. */
export const reversed = (emitter: OnnxEmitter, taps: number): Emitted =>
  emitter.table(`reversed:${taps}`, [taps], () => Int32Array.from({ length: taps }, (_, i) => taps - 1 - i));

/** [.., .., kh, kw] turned by 180 degrees. */
function turnFilter({ emitter }: LoweringContext, filter: Emitted): Emitted {
  const taps = filter.shape[2]! * filter.shape[3]!;
  const rows = emitter.reshape(filter, [filter.shape[0]! * filter.shape[1]!, taps]);
  return emitter.reshape(emitter.gather(rows, reversed(emitter, taps), 1), filter.shape);
}

/** Each image and channel a group of its own: x [1, N*C, H, W] with filter dy [N*C*multiplier, 1, H', W'], summed over N. */
export const plainDepthwiseFilterGradient: Lowering = ({ emitter, layouts }, value) => {
  const [x, dy] = value.inputs as readonly [Value, Value];
  const { filterSize, pads, strides, dilations, inputShape, outputShape, filterShape } = convolutionOf(value);
  const [n, h, w, channels] = inputShape as readonly [number, number, number, number];
  const multiplier = filterShape[3]!;
  const [oh, ow] = [outputShape[1]!, outputShape[2]!];
  const reach = [0, 1].map((k) => {
    const covered = inputShape[k + 1]! + pads[k]! + pads[k + 2]! - (outputShape[k + 1]! - 1) * strides[k]! - 1;
    return Math.floor(covered / dilations[k]!) + 1;
  });
  const image = emitter.reshape(layouts.in(x, channelsFirst), [1, n * channels, h, w]);
  const filters = emitter.reshape(layouts.in(dy, channelsFirst), [n * channels * multiplier, 1, oh, ow]);
  const attributes = { kernel_shape: [oh, ow], pads, strides: dilations, dilations: strides, group: n * channels };
  const shape = [1, n * channels * multiplier, reach[0]!, reach[1]!];
  const full = emitter.slice(emitter.emit('Conv', [image, filters], shape, attributes), [2, 3], [0, 0], filterSize);
  const perImage = emitter.reshape(full, [n, channels, multiplier, filterSize[0], filterSize[1]]);
  layouts.place(value, emitter.sum(perImage, 0), depthwiseChannelsFirst);
};
