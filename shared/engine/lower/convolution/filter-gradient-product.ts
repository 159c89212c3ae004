import { convolutionOf, range } from '../../graph/index.js';
import type { Value } from '../../graph/index.js';
import type { Lowering } from '../context.js';
import { channelMajor } from '../layouts.js';
import type { Emitted } from '../emitter.js';

/**
 * Filter gradients as one matrix product over all pixels of the batch. Operands are channel-major, so that the long
 * dimension is contiguous in both and the product is A * B^T, the fastest orientation of the runtime's GEMM.
 */

/** 1x1, stride 1: [O, NHW] x [C, NHW]^T. */
export const pointwiseFilterGradient: Lowering = ({ emitter, layouts }, value) => {
  const [x, dy] = value.inputs as readonly [Value, Value];
  const { inputShape, outputShape } = convolutionOf(value);
  const pixels = inputShape.slice(0, 3).reduce((p, d) => p * d, 1);
  const image = emitter.reshape(layouts.in(x, channelMajor), [inputShape[3]!, pixels]);
  const gradient = emitter.reshape(layouts.in(dy, channelMajor), [outputShape[3]!, pixels]);
  layouts.place(value, emitter.matMul(gradient, image, { transposeB: true }), [3, 2, 0, 1]);
};

/** Any stride, dilation 1: the im2col matrix [C*kh*kw, NH'W'] of the image against dy [O, NH'W']. */
export const im2colFilterGradient: Lowering = ({ emitter, layouts }, value) => {
  const [x, dy] = value.inputs as readonly [Value, Value];
  const { filterSize, strides, pads, inputShape, outputShape } = convolutionOf(value);
  const [kh, kw] = filterSize;
  const [n, , , c] = inputShape as readonly [number, number, number, number];
  const [, oh, ow, o] = outputShape as readonly [number, number, number, number];
  const pixels = n * oh * ow;
  const padded = emitter.pad(layouts.in(x, channelMajor), [0, 0, pads[0], pads[1]], [0, 0, pads[2], pads[3]]);
  const taps: Emitted[] = range(kh * kw).map((k) => {
    const [top, left] = [Math.floor(k / kw), k % kw];
    const ends = [top + (oh - 1) * strides[0] + 1, left + (ow - 1) * strides[1] + 1];
    const tap = emitter.slice(
      padded,
      [2, 3],
      [top, left],
      ends,
      strides[0] === 1 && strides[1] === 1 ? undefined : strides,
    );
    return emitter.reshape(tap, [c, 1, pixels]);
  });
  const columns = emitter.reshape(emitter.concat(taps, 1), [c * kh * kw, pixels]);
  const gradient = emitter.reshape(layouts.in(dy, channelMajor), [o, pixels]);
  layouts.place(value, emitter.matMul(gradient, columns, { transposeB: true }), [3, 2, 0, 1]);
};

/**
 * Stride 1, for larger maps: kw copies of the image shifted along the width and kh copies of dy shifted along the
 * height meet in one product [kh*O, NHW'] x [kw*C, NHW']^T: kw + kh copies in place of kh * kw.
 */
export const factoredFilterGradient: Lowering = ({ emitter, layouts }, value) => {
  const [x, dy] = value.inputs as readonly [Value, Value];
  const { filterSize, pads, inputShape, outputShape } = convolutionOf(value);
  const [kh, kw] = filterSize;
  const [n, h, , c] = inputShape as readonly [number, number, number, number];
  const [, oh, ow, o] = outputShape as readonly [number, number, number, number];
  const height = h + pads[0] + pads[2];
  const pixels = n * height * ow;
  const padded = emitter.pad(layouts.in(x, channelMajor), [0, 0, pads[0], pads[1]], [0, 0, pads[2], pads[3]]);
  const images = range(kw).map((j) => emitter.reshape(emitter.slice(padded, [3], [j], [j + ow]), [c, 1, pixels]));
  const gradient = layouts.in(dy, channelMajor);
  const gradients = range(kh).map((i) =>
    emitter.reshape(emitter.pad(gradient, [0, 0, i, 0], [0, 0, height - oh - i, 0]), [o, 1, pixels]),
  );
  const a = emitter.reshape(emitter.concat(gradients, 1), [kh * o, pixels]);
  const b = emitter.reshape(emitter.concat(images, 1), [kw * c, pixels]);
  const product = emitter.matMul(a, b, { transposeB: true });
  layouts.place(value, emitter.reshape(product, [o, kh, c, kw]), [3, 0, 2, 1]);
};
