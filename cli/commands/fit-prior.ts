/** `thaw fit-prior`: a Gaussian mixture on the channel means of a run's training images, stored with the run. */
import { centreBatch, loadImages, loadManifest } from '@thaw/shared/data';
import { fitMixture, generationStart } from '@thaw/shared/diffusion';
import { priorFormat, priorKey, PriorSchema, ThawError, type Prior } from '@thaw/shared/protocol';
import { RandomStream } from '@thaw/shared/runtime';
import { loadRun, openStore } from '@thaw/shared/storage';

export interface FitPriorOptions {
  readonly storeUrl: string;
  readonly run: string;
  readonly clusters: number;
  readonly seed: number;
}

/**
 * Reads the train split shard by shard; a prior that is there is replaced.
 * @throws ThawError THAW_RUN_NOT_FOUND, THAW_DATASET_NOT_FOUND, THAW_SAMPLING_INVALID, THAW_REQUEST_INVALID
 */
export async function fitPrior({ storeUrl, run: name, clusters, seed }: FitPriorOptions): Promise<Prior> {
  const store = await openStore(storeUrl);
  const { config: run } = await loadRun(store, name);
  if (generationStart(run.degradation) !== 'prior')
    throw new ThawError(
      'THAW_SAMPLING_INVALID',
      `The degradation "${run.degradation.family}" of run ${name} needs no prior: generation starts from what it draws.`,
      { cure: 'Generate with `thaw sample --mode generate`.' },
    );
  const manifest = await loadManifest(store, run.data.dataset);
  const { size, channels } = run.data;
  const means: Float64Array[] = [];
  let first = 0;
  for (const { count } of manifest.splits.train.shards) {
    const { images } = await loadImages(store, manifest, 'train', first, count);
    const cut = centreBatch({ images, shape: manifest.imageShape, size });
    for (let image = 0; image < count; image++) means.push(channelMeans(cut, image, size * size, channels));
    first += count;
  }
  const fitted = fitMixture(means, clusters, new RandomStream(seed, 'sampling', 0, 2));
  const prior = PriorSchema.parse({
    format: priorFormat,
    run: name,
    dataset: { name: manifest.name, sha256: manifest.contentSha256 },
    images: means.length,
    seed,
    ...fitted,
  });
  await store.put(priorKey(name), new TextEncoder().encode(`${JSON.stringify(prior, undefined, 1)}\n`));
  return prior;
}

function channelMeans(images: Float32Array, image: number, pixels: number, channels: number): Float64Array {
  const sums = new Float64Array(channels);
  const start = image * pixels * channels;
  for (let i = 0; i < pixels * channels; i++) sums[i % channels]! += images[start + i]!;
  return sums.map((sum) => sum / pixels);
}
