/** What an evaluation says: the JSON of it. */
import type { Convention } from './conventions.js';
import type { EstimateOrigin } from './estimates.js';
import type { FeatureNetwork } from './features/extractor.js';
import type { Distance } from './frechet-scores.js';
import type { ReportRow } from './metrics.js';
import type { CurvePoint } from './pixel-scores.js';

export const reportFormat = 'thaw.evaluation-report/2';

/** The network of a Frechet distance, and how its intervals came about. */
export interface ReportedFeatures extends FeatureNetwork {
  /** Groups of images that were resampled, and how often; 0: no intervals. */
  readonly groups: number;
  readonly resamplings: number;
}

export interface EvaluationReport extends EstimateOrigin {
  readonly format: typeof reportFormat;
  /** Images compared, from `convention.firstImage` on. */
  readonly count: number;
  readonly convention: Convention;
  /** By metric: `rmse`, `ssim`, `psnr`, `l1`, and a Frechet distance under the name that its features give it. */
  readonly scores: Readonly<Record<string, Readonly<Record<ReportRow, Distance>>>>;
  /** sampled - direct on the same resamplings: an interval without 0 is a difference. */
  readonly sampledMinusDirect: Readonly<Record<string, Distance>>;
  readonly features?: ReportedFeatures;
  readonly curve: readonly CurvePoint[];
}

/** Images for the page, [H, W, C] in [-1, 1]. */
export interface PicturedImage {
  /** Its number in the split. */
  readonly image: number;
  readonly original: Float32Array;
  readonly degraded: Float32Array;
  readonly direct: Float32Array;
  readonly sampled: Float32Array;
}

export const metricTitles: Readonly<Record<string, string>> = {
  rmse: 'RMSE',
  ssim: 'SSIM',
  psnr: 'PSNR in dB',
  l1: 'L1',
  fid: 'FID',
  'frechet-classifier': 'Frechet distance (classifier, not FID)',
};
export const titleOf = (metric: string): string =>
  metricTitles[metric] ?? `Frechet distance (${metric.replace(/^frechet-/, '')})`;
/** Which end of the scale is good. */
export const higherIsBetter = (metric: string): boolean => metric === 'ssim' || metric === 'psnr';

const choices = {
  x_T: 'x_T, the fully degraded image',
  'first-update': "x_{T-1}, the state after the sampler's first update",
  x_0: 'x_0, where the sampler ends',
  'last-estimate': "the network's last estimate R(x_s, s - 1)",
} as const;

/** The sentences under every table: what the numbers are. */
export function conventionSentences(report: EvaluationReport): string[] {
  const { convention, count, features, scores } = report;
  const from =
    convention.firstImage === 0 ? 'from the first on' : `from number ${convention.firstImage} on, counted from 0`;
  const sentences = [
    `${count} images of the split ${report.split} of ${report.dataset}, ${from}; ${report.sampler} with ${report.severities.length} network call(s) from severity ${report.severities[0]}; seed ${report.seed}.`,
    'Values are on the scale [0, 1], neither clamped nor rounded.',
    `"Degraded" is ${choices[convention.degraded]}; "direct" is R(x_T, T - 1); "sampled" is ${choices[convention.sampled]}.`,
    'RMSE is the root of the mean over all values of all images; SSIM, PSNR and L1 are means over images.',
    'Ranges hold 95 % of the resamplings of the test images (bootstrap).',
  ];
  if (features !== undefined) {
    sentences.push(
      `${features.title}: ${features.dimensions} features, covariance divided by N - 1, against the original images themselves; network ${features.sha256.slice(0, 12)}.`,
      features.resamplings > 0
        ? `Its intervals are from ${features.resamplings} resamplings of ${features.groups} groups of images, moved by their mean excess.`
        : 'It has no intervals: too many features, or too few images, for resampling at bounded cost.',
    );
    if (features.metric !== 'fid')
      sentences.push(
        'It is not FID and cannot be compared with published FID values, only with distances on the same network.',
      );
    if (count <= features.dimensions)
      sentences.push(
        `With ${count} images for ${features.dimensions} features the covariances are singular and the distance is biased upwards.`,
      );
  }
  if (Object.keys(scores).length === 0) sentences.push('No metric was asked for.');
  return sentences;
}
