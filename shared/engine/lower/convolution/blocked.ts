import { convolutionOf } from '../../graph/index.js';
import type { Value } from '../../graph/index.js';
import type { Lowering, LoweringContext } from '../context.js';
import type { Emitted } from '../emitter.js';
import { channelsFirst } from '../layouts.js';
import { depthwiseChannelsFirst, turnFilter } from './plain.js';

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

/** [C, 1, kh, kw] with its data as [C / B][kh * kw][B]. */
function blockFilter({ emitter, options }: LoweringContext, filter: Emitted): Emitted {
  const block = options.capabilities.blockedConv || 1;
  const [channels, , kh, kw] = filter.shape as readonly [number, number, number, number];
  const blocks = emitter.reshape(filter, [channels / block, block, kh * kw]);
  return emitter.reshape(emitter.transpose(blocks, [0, 2, 1]), filter.shape);
}

function convolve(
  context: LoweringContext,
  value: Value,
  image: Value,
  filter: Emitted,
  pads: readonly number[],
): void {
  const { emitter, layouts } = context;
  const { filterSize } = convolutionOf(value);
  const [n, h, w, c] = value.shape as readonly [number, number, number, number];
  const bias = context.biasOf(value);
  const inputs = [
    toBlocked(context, image),
    blockFilter(context, filter),
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
  convolve(context, value, x, context.layouts.in(filter, depthwiseChannelsFirst), convolutionOf(value).pads);
};

/** Stride 1: the convolution of dy with the filter turned by 180 degrees. */
export const blockedDepthwiseInputGradient: Lowering = (context, value) => {
  const [dy, filter] = value.inputs as readonly [Value, Value];
  const { filterSize, pads } = convolutionOf(value);
  const turned = turnFilter(context, context.layouts.in(filter, depthwiseChannelsFirst));
  convolve(
    context,
    value,
    dy,
    turned,
    pads.map((pad, k) => filterSize[k % 2]! - 1 - pad),
  );
};
