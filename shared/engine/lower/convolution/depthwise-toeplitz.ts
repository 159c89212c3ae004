import { convolutionOf, range } from '../../graph/index.js';
import type { Value } from '../../graph/index.js';
import type { Lowering } from '../context.js';
import { depthwiseChannelsFirst } from './plain.js';

/** [C, H, N, W]: rows of an image, all images of the batch side by side. */
const channelRows = [3, 1, 0, 2];

/** Rows that are multiplied together: a divisor of the height near 16, or all. */
export const bandHeight = (height: number): number =>
  height <= 16 ? height : ([16, 14, 12, 8].find((band) => height % band === 0) ?? height);

/**
 * The filter gradient of a depthwise convolution (stride 1, multiplier 1). In bands of T rows, per channel c and column
 * tap j, the product over all pixels of all row pairs,
 *     M[c, q, j, p] = sum over bands, images and columns of dy[c, row q, column] * x[c, row p, column + j],
 * is one batched matrix product; dW[i, j] is the sum of the i-th diagonal, p = q + i. It computes (T + kh - 1) / kh
 * times more than needed, in products that run an order of magnitude faster than direct summation.
 */
export const toeplitzFilterGradient: Lowering = ({ emitter, layouts }, value) => {
  const [x, dy] = value.inputs as readonly [Value, Value];
  const { filterSize, pads, inputShape, outputShape } = convolutionOf(value);
  const [kh, kw] = filterSize;
  const [n, , , c] = inputShape as readonly [number, number, number, number];
  const [, h, w] = outputShape as readonly [number, number, number, number];
  const band = bandHeight(h);
  const bands = h / band;
  const reach = band + kh - 1;

  const padded = emitter.pad(layouts.in(x, channelRows), [0, pads[0], 0, pads[1]], [0, pads[2], 0, pads[3]]);
  const imageBands = range(bands).map((b) => emitter.slice(padded, [1], [b * band], [b * band + reach]));
  const image = emitter.concat(imageBands, 2); // [C, reach, bands * N, W + kw - 1]
  const gradientRows = emitter.reshape(layouts.in(dy, channelRows), [c, bands, band, n * w]);
  const gradient = emitter.reshape(emitter.transpose(gradientRows, [0, 2, 1, 3]), [c, band, bands * n * w]);

  const shifted = range(kw).map((j) => emitter.slice(image, [3], [j], [j + w]));
  const columns = emitter.reshape(emitter.concat(shifted, 1), [c, kw * reach, bands * n * w]);
  const pairs = emitter.matMul(gradient, columns, { transposeB: true }); // [C, band, kw * reach]

  // Element (q, j, q + i) of a pair matrix lies at q * (L + 1) + j * reach + i, where L = kw * reach is the length of a
  // row: in rows of L + 1, each diagonal is a column.
  const length = kw * reach;
  const flat = emitter.pad(emitter.reshape(pairs, [c, band * length]), [0, 0], [0, band]);
  const sums = emitter.sum(emitter.reshape(flat, [c, band, length + 1]), 1);
  const byTap = emitter.reshape(emitter.slice(sums, [1], [0], [length]), [c, kw, reach]);
  const diagonals = emitter.slice(byTap, [2], [0], [kh]); // [C, kw, kh]
  layouts.place(
    value,
    emitter.reshape(emitter.transpose(diagonals, [0, 2, 1]), [c, 1, kh, kw]),
    depthwiseChannelsFirst,
  );
};
