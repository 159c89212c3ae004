/** Walks through estimates, wherever they come from, and says how good they are. */
import { ThawError } from '@thaw/shared/protocol';
import { comparedImages, type ComparedImages, type Convention } from './conventions.js';
import type { Estimate, EstimateOrigin, EstimateSource } from './estimates.js';
import type { FeatureExtractor } from './features/index.js';
import { FrechetScores } from './frechet-scores.js';
import { asksForFrechet, pixelMetricsOf, reportRows, type Metric } from './metrics.js';
import { ErrorCurve, PixelScores } from './pixel-scores.js';
import { reportFormat, type EvaluationReport, type PicturedImage } from './report.js';

export interface EvaluationRequest {
  /** Images; all from the convention's first on unless given. */
  readonly count?: number;
  readonly metrics: readonly Metric[];
  readonly convention: Convention;
  /** Asked for by `fid` or `frechet`. */
  readonly features?: FeatureExtractor;
  /** Of the bootstrap. */
  readonly seed: number;
  /** 1000 unless given; of pixel errors. */
  readonly resamplings?: number;
  /** Images handed out for the page. */
  readonly pictured?: number;
}

export interface Evaluation {
  readonly report: EvaluationReport;
  readonly pictures: readonly PicturedImage[];
}

/**
 * @param onProgress images done
 * @throws ThawError THAW_REQUEST_INVALID (count, metrics), THAW_FEATURES_MISSING, THAW_FEATURES_INVALID,
 *   THAW_CHECKPOINT_INVALID (restorations that are no numbers), and what the source throws
 */
export async function evaluate(
  source: EstimateSource,
  request: EvaluationRequest,
  onProgress: (done: number, total: number) => void = () => undefined,
): Promise<Evaluation> {
  const { convention, metrics, features, seed, resamplings = 1000, pictured = 10 } = request;
  const count = checkedCount(source, request);
  if (asksForFrechet(metrics) && features === undefined)
    throw new ThawError(
      'THAW_FEATURES_MISSING',
      'metrics: a Frechet distance was asked for, without features to take it on.',
    );
  const { shape } = source;
  const pixels = new PixelScores({ shape, metrics: pixelMetricsOf(metrics), resamplings, seed });
  const frechet = asksForFrechet(metrics) ? new FrechetScores(features!, shape, seed) : undefined;
  const curve = new ErrorCurve();
  const pictures: PicturedImage[] = [];
  let done = 0;
  for await (const { images, estimates } of blocks(source, convention.firstImage, count)) {
    const compared = estimates.map((estimate) => comparedImages(estimate, convention));
    compared.forEach((rows, i) => checkNumbers(rows, images[i]!, source.origin));
    estimates.forEach(({ original, errors }, i) => {
      pixels.add(original, compared[i]!);
      curve.add(errors);
      if (pictures.length < pictured) pictures.push({ image: images[i]!, original, ...compared[i]! });
    });
    await frechet?.add(
      estimates.map(({ original }) => original),
      compared,
    );
    done += images.length;
    onProgress(done, count);
  }
  const { scores, sampledMinusDirect } = pixels.scores();
  const report: EvaluationReport = {
    format: reportFormat,
    ...source.origin,
    count,
    convention,
    scores,
    sampledMinusDirect,
    curve: curve.points(),
  };
  return { report: frechet === undefined ? report : withDistances(report, features!, frechet), pictures };
}

/** The estimates of consecutive images, in order; further blocks are asked for while one is looked at. */
async function* blocks(
  source: EstimateSource,
  firstImage: number,
  count: number,
): AsyncGenerator<{ images: readonly number[]; estimates: readonly Estimate[] }> {
  const { blockSize, blocksAtOnce = 1 } = source;
  const asked: { images: readonly number[]; estimates: Promise<readonly Estimate[]> }[] = [];
  for (let next = 0; next < count || asked.length > 0;) {
    while (next < count && asked.length < blocksAtOnce) {
      const first = firstImage + next;
      const images = Array.from({ length: Math.min(blockSize, count - next) }, (_, i) => first + i);
      const estimates = source.estimates(images);
      estimates.catch(() => undefined); // looked at when its turn comes
      asked.push({ images, estimates });
      next += images.length;
    }
    const { images, estimates } = asked.shift()!;
    yield { images, estimates: await estimates };
  }
}

function withDistances(report: EvaluationReport, features: FeatureExtractor, frechet: FrechetScores): EvaluationReport {
  const { distances, sampledMinusDirect, groups, resamplings } = frechet.result();
  const { metric, title, sha256, dimensions } = features;
  return {
    ...report,
    scores: { ...report.scores, [metric]: distances },
    sampledMinusDirect: { ...report.sampledMinusDirect, [metric]: sampledMinusDirect },
    features: { metric, title, sha256, dimensions, groups, resamplings },
  };
}

/** A restoration that is no number would make every score one. */
function checkNumbers(compared: ComparedImages, image: number, { run, step }: EstimateOrigin): void {
  for (const row of reportRows)
    if (!compared[row].every(Number.isFinite))
      throw new ThawError(
        'THAW_CHECKPOINT_INVALID',
        `${row}: image ${image} has values that are no numbers, restored by step ${step} of run ${run}.`,
        { cure: 'Evaluate an earlier checkpoint; thaw checkpoints lists them.' },
      );
}

function checkedCount(
  { available, origin }: EstimateSource,
  { count, convention, metrics }: EvaluationRequest,
): number {
  const { firstImage } = convention;
  const left = available - firstImage;
  const wanted = count ?? left;
  const which = firstImage === 0 ? '' : ` from number ${firstImage} on`;
  if (wanted > left || wanted < 1)
    throw new ThawError(
      'THAW_REQUEST_INVALID',
      `count: ${wanted} images were asked for; the split ${origin.split} of ${origin.dataset} has ${Math.max(0, left)}${which}.`,
    );
  if (asksForFrechet(metrics) && wanted < 2)
    throw new ThawError('THAW_REQUEST_INVALID', 'count: a Frechet distance needs two images or more.');
  return wanted;
}
