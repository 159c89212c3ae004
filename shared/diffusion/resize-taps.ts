/** Which source pixels an output pixel of an axis is made of, as PyTorch's `interpolate` resizes without antialiasing. */

/** One output pixel of a shrinking: source index and weight. */
export type Taps = readonly (readonly [source: number, weight: number])[];
export type Shrinking = (size: number, small: number, output: number) => Taps;

/** Cubic convolution weight at distance x, A = -0.75 (PyTorch). */
function cubic(x: number): number {
  const a = -0.75;
  const d = Math.abs(x);
  if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

const sourceOf = (size: number, small: number, output: number): number => ((output + 0.5) * size) / small - 0.5;

export const bicubic: Shrinking = (size, small, output) => {
  const source = sourceOf(size, small, output);
  const first = Math.floor(source) - 1;
  return [0, 1, 2, 3].map((k) => [Math.min(Math.max(first + k, 0), size - 1), cubic(source - (first + k))]);
};

export const bilinear: Shrinking = (size, small, output) => {
  const source = Math.max(sourceOf(size, small, output), 0);
  const low = Math.floor(source);
  return [
    [low, 1 - (source - low)],
    [Math.min(low + 1, size - 1), source - low],
  ];
};

export const area: Shrinking = (size, small, output) => {
  const first = Math.floor((output * size) / small);
  const end = Math.ceil(((output + 1) * size) / small);
  return Array.from({ length: end - first }, (_, k) => [first + k, 1 / (end - first)]);
};

/** Nearest-exact source of an enlarged pixel, in float32 as PyTorch computes it. */
export const nearestSource = (size: number, small: number, output: number): number =>
  Math.min(Math.floor(Math.fround((output + 0.5) * Math.fround(small / size))), small - 1);
