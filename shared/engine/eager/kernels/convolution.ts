import * as tf from '@tensorflow/tfjs-core';
import type { Tensor2D, Tensor4D } from '@tensorflow/tfjs-core';
import { UnsupportedByKernel, type KernelFunction } from './table.js';

type Shape4D = [number, number, number, number];

const geometry = (
  inputShape: readonly number[],
  filterShape: readonly number[],
  attrs: tf.NamedAttrMap,
  depthwise: boolean,
) =>
  tf.backend_util.computeConv2DInfo(
    inputShape as Shape4D,
    filterShape as Shape4D,
    attrs['strides'] as [number, number],
    (attrs['dilations'] as [number, number] | undefined) ?? 1,
    attrs['pad'] as 'same',
    attrs['dimRoundingMode'] as 'floor' | undefined,
    depthwise,
  );

/** The input positions that meet one tap of the filter, [N, outHeight, outWidth, C], for each tap in row-major order. */
function taps(x: Tensor4D, info: ReturnType<typeof geometry>): Tensor4D[] {
  const { batchSize: n, outHeight, outWidth, inHeight, inWidth, inChannels, strideHeight, strideWidth, padInfo } = info;
  const neededHeight = (outHeight - 1) * strideHeight + info.filterHeight;
  const neededWidth = (outWidth - 1) * strideWidth + info.filterWidth;
  const bottom = Math.max(neededHeight - inHeight - padInfo.top, 0);
  const right = Math.max(neededWidth - inWidth - padInfo.left, 0);
  const padded = tf.pad(x, [
    [0, 0],
    [padInfo.top, bottom],
    [padInfo.left, right],
    [0, 0],
  ]);
  const result: Tensor4D[] = [];
  for (let row = 0; row < info.filterHeight; row++)
    for (let column = 0; column < info.filterWidth; column++)
      result.push(
        tf.stridedSlice(
          padded,
          [0, row, column, 0],
          [n, row + (outHeight - 1) * strideHeight + 1, column + (outWidth - 1) * strideWidth + 1, inChannels],
          [1, strideHeight, strideWidth, 1],
        ) as Tensor4D,
      );
  return result;
}

/** d loss / d filter = for every tap, (input under the tap)^T x dy, summed over images and positions. */
export const conv2DBackpropFilter: KernelFunction = ({ x, dy }, attrs) => {
  const info = geometry(x!.shape, attrs['filterShape'] as number[], attrs, false);
  const positions = info.batchSize * info.outHeight * info.outWidth;
  const dyRows = tf.reshape(dy!, [positions, info.outChannels]) as Tensor2D;
  const products = taps(x as Tensor4D, info).map((tap) =>
    tf.matMul(tf.transpose(tf.reshape(tap, [positions, info.inChannels])), dyRows),
  );
  return tf.reshape(tf.stack(products), info.filterShape);
};

/** d loss / d input = convolution of dy, spread out by the stride, with the filter turned by 180 degrees. */
export const conv2DBackpropInput: KernelFunction = ({ dy, filter }, attrs) => {
  const info = geometry(attrs['inputShape'] as number[], filter!.shape, attrs, false);
  const turned = tf.transpose(tf.reverse(filter!, [0, 1]), [0, 1, 3, 2]) as Tensor4D;
  return correlateBack(dy as Tensor4D, info, (padded) => tf.conv2d(padded, turned, 1, 'valid'));
};

/** Pads or crops dy, spread out by the stride, so that a `valid` convolution gives the input's size. */
function correlateBack(
  dy: Tensor4D,
  info: ReturnType<typeof geometry>,
  convolve: (padded: Tensor4D) => Tensor4D,
): Tensor4D {
  const { batchSize: n, outHeight, outWidth, outChannels, strideHeight, strideWidth, padInfo } = info;
  const spaced = tf.pad(tf.reshape(dy, [n * outHeight, 1, outWidth, 1, outChannels]), [
    [0, 0],
    [0, strideHeight - 1],
    [0, 0],
    [0, strideWidth - 1],
    [0, 0],
  ]);
  const [height, width] = [outHeight * strideHeight, outWidth * strideWidth];
  const top = info.filterHeight - 1 - padInfo.top;
  const left = info.filterWidth - 1 - padInfo.left;
  const bottom = info.inHeight + info.filterHeight - 1 - height - top;
  const right = info.inWidth + info.filterWidth - 1 - width - left;
  const plus = (amount: number): number => Math.max(amount, 0);
  const minus = (amount: number): number => Math.max(-amount, 0);
  const cropped = tf.slice(
    tf.reshape(spaced, [n, height, width, outChannels]),
    [0, minus(top), minus(left), 0],
    [n, height - minus(top) - minus(bottom), width - minus(left) - minus(right), outChannels],
  ) as Tensor4D;
  return convolve(
    tf.pad(cropped, [
      [0, 0],
      [plus(top), plus(bottom)],
      [plus(left), plus(right)],
      [0, 0],
    ]),
  );
}

function depthwiseGeometry(inputShape: readonly number[], filterShape: readonly number[], attrs: tf.NamedAttrMap) {
  const info = geometry(inputShape, filterShape, attrs, true);
  if (info.outChannels !== info.inChannels)
    throw new UnsupportedByKernel('the gradient of a depthwise convolution with a channel multiplier is not there');
  return info;
}

export const depthwiseBackpropInput: KernelFunction = ({ dy, filter }, attrs) => {
  const info = depthwiseGeometry(attrs['inputShape'] as number[], filter!.shape, attrs);
  const turned = tf.reverse(filter!, [0, 1]) as Tensor4D;
  return correlateBack(dy as Tensor4D, info, (padded) => tf.depthwiseConv2d(padded, turned, 1, 'valid'));
};

export const depthwiseBackpropFilter: KernelFunction = ({ x, dy }, attrs) => {
  const info = depthwiseGeometry(x!.shape, attrs['filterShape'] as number[], attrs);
  const sums = taps(x as Tensor4D, info).map((tap) => tf.sum(tf.mul(tap, dy!), [0, 1, 2]));
  return tf.reshape(tf.stack(sums), info.filterShape);
};
