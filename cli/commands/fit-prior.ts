/** `thaw fit-prior`: a Gaussian mixture on a run's training images, degraded and shrunk to a few pixels, stored with the run and its checkpoints. */
import { centreBatch, loadImages, loadRunSets, type DatasetManifest } from '@thaw/shared/data';
import {
  degradationOf,
  fitMixture,
  generationStart,
  shrink,
  shrinkingRows,
  usualPriorEdge,
} from '@thaw/shared/diffusion';
import {
  mostPriorNumbers,
  priorFormat,
  PriorSchema,
  ThawError,
  type Prior,
  type RunConfig,
} from '@thaw/shared/protocol';
import { RandomStream } from '@thaw/shared/runtime';
import { loadRun, openStore, storePrior, type ObjectStore, type StoredPriorReport } from '@thaw/shared/storage';

export interface FitPriorOptions {
  readonly storeUrl: string;
  readonly run: string;
  readonly clusters: number;
  readonly seed: number;
  /** Edge of the shrunk images (official `gmm_size`); 1 for blurs that end in one colour, what is left for super-resolution. */
  readonly edge?: number;
  /** Severity to which images are degraded first (official `gmm_sample_at`); T unless given. */
  readonly severity?: number;
}

/** The prior as stored, its SHA-256, and the steps of the checkpoints that generate from it, or from others. */
export type FittedPrior = Prior & {
  readonly sha256: string;
  readonly checkpoints: Pick<StoredPriorReport, 'bound' | 'others'>;
};

/**
 * Reads the train split shard by shard. The prior is for the run's checkpoints that have none, and for those to come; others keep theirs.
 * @throws ThawError THAW_RUN_NOT_FOUND, THAW_DATASET_NOT_FOUND, THAW_SAMPLING_INVALID, THAW_REQUEST_INVALID
 */
export async function fitPrior(options: FitPriorOptions): Promise<FittedPrior> {
  const { storeUrl, run: name, clusters, seed } = options;
  const store = await openStore(storeUrl);
  const { config: run } = await loadRun(store, name);
  const { size, channels } = run.data;
  const { edge, severity } = checked(run, options);
  const rows = shrinkingRows(degradationOf(run), severity, edge);
  checkNumbers(clusters, edge, channels);
  const { manifest } = (await loadRunSets(store, run)).own;
  const { count } = manifest.splits.train;
  if (clusters > count)
    throw new ThawError(
      'THAW_REQUEST_INVALID',
      `clusters: ${clusters} cannot be fitted to the ${count} training images of ${manifest.name}; there may be 1 to ${count}.`,
    );
  const points: Float64Array[] = [];
  for await (const images of centres(store, manifest, size))
    for (let at = 0; at < images.length; at += size * size * channels)
      points.push(shrink(rows, images, at, size, channels));
  const fitted = fitMixture(points, clusters, new RandomStream(seed, 'sampling', 0, 2));
  const prior = PriorSchema.parse({
    format: priorFormat,
    run: name,
    severity,
    edge,
    dataset: { name: manifest.name, sha256: manifest.contentSha256 },
    images: points.length,
    seed,
    ...fitted,
    mixture: shortened(fitted.mixture),
  });
  const { sha256, bound, others } = await storePrior(store, name, prior);
  return { ...prior, sha256, checkpoints: { bound, others } };
}

/** What a person is told. */
export function fittedPriorText({
  run,
  sha256,
  mixture,
  images,
  edge,
  logLikelihood,
  checkpoints,
}: FittedPrior): string {
  const { bound, others } = checkpoints;
  const steps = (list: readonly number[]): string =>
    `checkpoint${list.length === 1 ? '' : 's'} ${list.slice(-5).join(', ')}${list.length > 5 ? ` and ${list.length - 5} more` : ''}`;
  return [
    `The prior of ${run}: ${mixture.weights.length} component(s) on ${images} images of ${edge} x ${edge} pixels, mean log-likelihood ${logLikelihood.toFixed(3)}, SHA-256 ${sha256}.`,
    `It is for ${bound.length === 0 ? '' : `${steps(bound)} and `}the checkpoints to come.`,
    ...(others.length === 0
      ? []
      : [`For ${steps(others)} nothing changes; with thaw sample --prior ${sha256} they start from this one.`]),
  ].join('\n');
}

/** Everything that can be refused before a picture is read. */
function checked({ name, degradation, data }: RunConfig, options: FitPriorOptions): { edge: number; severity: number } {
  if (generationStart(degradation).from !== 'prior')
    throw new ThawError(
      'THAW_SAMPLING_INVALID',
      `The degradation "${degradation.family}" of run ${name} needs no prior: generation starts from what it draws.`,
      { cure: 'Generate with `thaw sample --mode generate`.' },
    );
  const edge = options.edge ?? usualPriorEdge(degradation, data.size);
  if (edge === undefined)
    throw new ThawError(
      'THAW_REQUEST_INVALID',
      `edge: the degradation "${degradation.family}" of run ${name} does not end in one colour, so it has to be said to how many pixels its images are shrunk.`,
      { cure: `Give --edge, 1 to ${data.size}; for example --edge 4.` },
    );
  return { edge, severity: options.severity ?? degradation.steps };
}

/** A job carries its mixture: it must fit into a message. */
function checkNumbers(clusters: number, edge: number, channels: number): void {
  const numbers = clusters * (edge * edge * channels) ** 2;
  if (numbers > mostPriorNumbers)
    throw new ThawError(
      'THAW_REQUEST_INVALID',
      `edge, clusters: ${clusters} cluster(s) of images of ${edge} x ${edge} x ${channels} have ${numbers} numbers in their covariances; there may be ${mostPriorNumbers}.`,
      { cure: 'Use a smaller --edge or fewer --clusters.' },
    );
}

async function* centres(store: ObjectStore, manifest: DatasetManifest, size: number): AsyncGenerator<Float32Array> {
  let first = 0;
  for (const { count } of manifest.splits.train.shards) {
    const { images } = await loadImages(store, manifest, 'train', first, count);
    yield centreBatch({ images, shape: manifest.imageShape, size });
    first += count;
  }
}

/** Nine digits, as many as float32 has: the mixture travels with every row of a job. */
function shortened<M extends { weights: unknown; means: unknown; covariances: unknown }>(mixture: M): M {
  const short = (value: unknown): unknown =>
    typeof value === 'number' ? Number(value.toPrecision(9)) : (value as unknown[]).map(short);
  const { weights, means, covariances } = mixture;
  return { ...mixture, weights: weights, means: short(means), covariances: short(covariances) };
}
