import { convolutionOf } from '../../graph/index.js';
import type { Value } from '../../graph/index.js';
import type { Lowering, LoweringContext } from '../context.js';
import type { Emitted } from '../emitter.js';
import { channelsFirst } from '../layouts.js';
import { depthwiseChannelsFirst, reversed } from './plain.js';

/**
 * Depthwise convolutions in ONNX Runtime's internal blocked layout: B neighbouring channels of a pixel lie together
 * and fill a vector register. Several times as fast as Conv on NCHW, which ONNX Runtime itself would only transform
 * where weights are constant. B depends on the processor, and a wrong B gives wrong numbers without an error: see
 * `blockedConvSelfTest`. Blocked tensors are never outputs.
 */
const blockedDomain = 'com.microsoft.nchwc';
const natural = [0, 1, 2, 3];

/** The image in blocked layout, read from whichever of NHWC and NCHW exists. */
function toBlocked({ emitter, layouts }: LoweringContext, image: Value): Emitted {
  const [n, h, w, c] = image.shape as readonly [number, number, number, number];
  const shape = [n, c, h, w];
  if (layouts.has(image, channelsFirst)) {
    const source = layouts.in(image, channelsFirst);
    return emitter.emit('ReorderInput', [source], shape, {}, { domain: blockedDomain });
  }
  const source = layouts.in(image, natural);
  return emitter.emit('ReorderInput', [source], shape, { channels_last: 1 }, { domain: blockedDomain });
}

/** [C, 1, kh, kw] with its data as [C / B][kh * kw][B]; `turned` by 180 degrees: the taps in reverse. */
function blockFilter({ emitter, options }: LoweringContext, filter: Emitted, turned: boolean): Emitted {
  const block = options.capabilities.blockedConv || 1;
  const [channels, , kh, kw] = filter.shape as readonly [number, number, number, number];
  const taps = emitter.transpose(emitter.reshape(filter, [channels / block, block, kh * kw]), [0, 2, 1]);
  return emitter.reshape(turned ? emitter.gather(taps, reversed(emitter, kh * kw), 1) : taps, filter.shape);
}

function convolve(
  context: LoweringContext,
  value: Value,
  image: Value,
  filter: { readonly tensor: Emitted; readonly turned: boolean },
  pads: readonly number[],
): void {
  const { emitter, layouts } = context;
  const { filterSize } = convolutionOf(value);
  const [n, h, w, c] = value.shape as readonly [number, number, number, number];
  const bias = context.biasOf(value);
  const inputs = [
    toBlocked(context, image),
    blockFilter(context, filter.tensor, filter.turned),
    ...(bias === undefined ? [] : [layouts.natural(bias)]),
  ];
  const attributes = { kernel_shape: filterSize, pads, strides: [1, 1], dilations: [1, 1], group: c };
  const blocked = emitter.emit('Conv', inputs, [n, c, h, w], attributes, { domain: blockedDomain });
  const rows = emitter.emit(
    'ReorderOutput',
    [blocked],
    [n, h, w, c],
    { channels: c, channels_last: 1 },
    { domain: blockedDomain },
  );
  layouts.place(value, rows, natural);
}

export const blockedDepthwiseForward: Lowering = (context, value) => {
  const [x, filter] = value.inputs as readonly [Value, Value];
  const tensor = context.layouts.in(filter, depthwiseChannelsFirst);
  convolve(context, value, x, { tensor, turned: false }, convolutionOf(value).pads);
};

/** Stride 1: the convolution of dy with the filter turned by 180 degrees. */
export const blockedDepthwiseInputGradient: Lowering = (context, value) => {
  const [dy, filter] = value.inputs as readonly [Value, Value];
  const { filterSize, pads } = convolutionOf(value);
  convolve(
    context,
    value,
    dy,
    { tensor: context.layouts.in(filter, depthwiseChannelsFirst), turned: true },
    pads.map((pad, k) => filterSize[k % 2]! - 1 - pad),
  );
};

/**
 * The filter gradient of a depthwise convolution is a depthwise convolution as well: of x, padded, with dy as a filter of the
 * size of a map, batch and channels together as channels. In blocked layout [N][C / B][H][W][B] is the same memory as
 * [1][N * C / B][H][W][B], and a filter [N * C / B][H * W][B] is a map. The results of the images are added up.
 */
export const blockedDepthwiseFilterGradient: Lowering = (context, value) => {
  const { emitter, layouts, options } = context;
  const block = options.capabilities.blockedConv || 1;
  const [x, dy] = value.inputs as readonly [Value, Value];
  const { pads, filterSize, inputShape, outputShape } = convolutionOf(value);
  const [kh, kw] = filterSize;
  const [n, h, w, c] = inputShape as readonly [number, number, number, number];
  const [, oh, ow] = outputShape as readonly [number, number, number, number];
  const groups = n * c;
  // Padded by a node of its own: the convolution is twice as fast where no window reaches over the border.
  const maps = emitter.reshape(toBlocked(context, x), [groups / block, h, w, block]);
  const padded = emitter.pad(maps, [0, pads[0], pads[1], 0], [0, pads[2], pads[3], 0]);
  const image = emitter.reshape(padded, [1, groups, h + pads[0] + pads[2], w + pads[1] + pads[3]]);
  const filter = emitter.reshape(toBlocked(context, dy), [groups, 1, oh, ow]);
  const attributes = { kernel_shape: [oh, ow], pads: [0, 0, 0, 0], strides: [1, 1], dilations: [1, 1], group: groups };
  const shape = [1, groups, kh, kw];
  const perImage = emitter.emit('Conv', [image, filter], shape, attributes, { domain: blockedDomain });
  const sums = emitter.sum(emitter.reshape(perImage, [n, c * kh * kw]), 0);
  const byChannel = emitter.transpose(emitter.reshape(sums, [c / block, kh * kw, block]), [0, 2, 1]);
  layouts.place(value, emitter.reshape(byChannel, [c, 1, kh, kw]), depthwiseChannelsFirst);
};
