import { convolutionOf } from '../../graph/index.js';
import type { Value } from '../../graph/index.js';
import type { Lowering } from '../context.js';
import type { AxisOrder } from '../layouts.js';
import type { ResolvedOptions } from '../options.js';
import * as plain from './plain.js';

/** A way to compute one convolution kernel. */
export interface ConvolutionStrategy {
  readonly name: string;
  readonly lower: Lowering;
  /** The order in which the filter (or its gradient) is wanted; undefined where the filter takes no part. */
  readonly filterOrder: AxisOrder;
}

/** The strategy for a convolution or convolution gradient; undefined for any other operation. */
export function chooseConvolution(value: Value, _options: ResolvedOptions): ConvolutionStrategy | undefined {
  const hwioPlain = plain.filterChannelsFirst;
  switch (value.op) {
    case 'Conv2D':
      return { name: 'plain', lower: plain.plainForward, filterOrder: hwioPlain };
    case 'Conv2DBackpropInput':
      return { name: 'plain', lower: plain.plainInputGradient, filterOrder: hwioPlain };
    case 'Conv2DBackpropFilter':
      return { name: 'plain', lower: plain.plainFilterGradient, filterOrder: [2, 3, 0, 1] };
    case 'DepthwiseConv2dNative':
      return { name: 'plain', lower: plain.plainDepthwiseForward, filterOrder: plain.depthwiseChannelsFirst };
    case 'DepthwiseConv2dNativeBackpropInput':
      return { name: 'plain', lower: plain.plainDepthwiseInputGradient, filterOrder: plain.depthwiseChannelsFirst };
    case 'DepthwiseConv2dNativeBackpropFilter':
      return { name: 'plain', lower: plain.plainDepthwiseFilterGradient, filterOrder: plain.depthwiseChannelsFirst };
    default:
      return undefined;
  }
}

export const isConvolution = (value: Value): boolean => convolutionOps.includes(value.op);
const convolutionOps = [
  'Conv2D',
  'Conv2DBackpropInput',
  'Conv2DBackpropFilter',
  'DepthwiseConv2dNative',
  'DepthwiseConv2dNativeBackpropInput',
  'DepthwiseConv2dNativeBackpropFilter',
];
export { convolutionOf };
