// The network of a work, and its tensors in official order and shape for both sides.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { drawWeights, toOfficial, unetWeightSpecs } from '@thaw/shared/model';
import { RandomStream } from '@thaw/shared/runtime';

export const networkOf = ({ dim, mults }) => ({
  kind: 'convnext-unet',
  dim,
  mults,
  timeEmbedding: true,
  residual: false,
  zeroInitLast: false,
});

/** Writes weights, images, time steps and targets, and gives their table. */
export function writeTensors(work, folder) {
  const { batch, size, channels } = work;
  const network = networkOf(work);
  const specs = unetWeightSpecs(network, channels);
  const weights = drawWeights(specs, 1);
  const stream = new RandomStream(1, 'probe');
  const uniform = (length) => Float32Array.from({ length }, () => 2 * stream.uniform() - 1);
  const pixels = batch * channels * size * size;
  const tensors = [
    ...Object.entries(specs).map(([name, spec]) => [name, spec.officialShape, toOfficial(spec, weights[name])]),
    ['x', [batch, channels, size, size], uniform(pixels)],
    ['t', [batch], Float32Array.from({ length: batch }, (_, row) => row)],
    // Far from what the network gives, so that no sign of the L1 loss hangs on the last bits.
    ['target', [batch, channels, size, size], uniform(pixels).map((value) => 50 * value)],
  ];
  writeFileSync(
    join(folder, 'tensors.f32'),
    Buffer.concat(tensors.map(([, , data]) => Buffer.from(data.buffer, data.byteOffset, data.byteLength))),
  );
  return tensors.map(([name, shape, data]) => ({ name, shape, size: data.length }));
}
