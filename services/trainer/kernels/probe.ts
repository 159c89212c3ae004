/** The kernels' part of a fingerprint. */
import { sha256Hex, ThawError, type RunConfig } from '@thaw/shared/protocol';
import { RandomStream } from '@thaw/shared/runtime';
import { adamUpdateOf } from '../optimizer/index.js';
import { createLayout, laneLimit, neededExponent } from '../reduce/index.js';
import type { ArrayKernels } from './kernels.js';
import { plainKernels } from './plain.js';

const probeLanes = 3;
/** Odd sizes: every rest of a vector, and more than one tile. */
const probeTensors = [1, 2, 3, 260, 40_001].map((size, i) => ({ name: `p${i}`, size }));

/**
 * SHA-256 of what these kernels make of a fixed Philox input: quantised lanes, weights, moments, average, maxima.
 * @throws ThawError THAW_ENGINE_NOT_DETERMINISTIC when the plain loops give other bits
 */
export function probeKernels(kernels: ArrayKernels, optimizer: RunConfig['optimizer']): string {
  const digest = probe(kernels, optimizer);
  if (kernels.name !== plainKernels.name && digest !== probe(plainKernels, optimizer))
    throw new ThawError(
      'THAW_ENGINE_NOT_DETERMINISTIC',
      `The ${kernels.name} kernels of the optimizer give other bits than the plain loops on this machine.`,
    );
  return digest;
}

function probe(kernels: ArrayKernels, optimizer: RunConfig['optimizer']): string {
  const layout = createLayout(probeTensors, probeLanes);
  const { valueCount, blockCount } = layout;
  const stream = new RandomStream(0, 'probe', 0, 0);
  const drawn = (scale: number): Float32Array => {
    const array = kernels.float32(valueCount);
    for (let i = 0; i < valueCount; i++) array[i] = scale * (stream.uniform() - 0.5);
    return array;
  };
  const arrays = {
    weights: drawn(1),
    ema: drawn(1),
    firstMoment: drawn(1e-3),
    secondMoment: drawn(1e-6).map(Math.abs),
  };
  const gradient = drawn(1e-2);
  const maxima = new Float32Array(blockCount);
  kernels.blockMaxima(layout, 0, blockCount, gradient, maxima);
  const limit = laneLimit(probeLanes);
  const exponents = Int8Array.from(maxima, (largest) => neededExponent(largest, -128, limit));
  const sums = kernels.int32(valueCount);
  for (let lane = 0; lane < 2; lane++) kernels.addQuantised(layout, 0, blockCount, gradient, exponents, sums, 0);
  const largest = new Uint32Array(blockCount);
  const adam = adamUpdateOf(optimizer, 1, optimizer.beta1 * optimizer.beta1, optimizer.beta2 * optimizer.beta2);
  kernels.update(
    layout,
    0,
    blockCount,
    arrays,
    {
      sums,
      exponents,
      laneCount: probeLanes,
      adam,
      average: { kind: 'blend', decay: Math.fround(0.995), rest: Math.fround(0.005) },
    },
    largest,
  );
  return sha256Hex(
    ...[maxima, exponents, sums, largest, ...Object.values(arrays)].map(
      (array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength),
    ),
  );
}
