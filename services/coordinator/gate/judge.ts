/** The rule of a gated channel. Pure: the same evaluations give the same verdict. */
import type { EvaluateResult } from '@thaw/shared/protocol';
import { middle, resample, type Interval } from '@thaw/shared/statistics';

/** One thing that was asked of a candidate. */
export interface GateCheck {
  readonly name: 'provenance' | 'comparable' | 'rmse' | 'ssim';
  /** What was asked and found, with values. */
  readonly finding: string;
  readonly passed: boolean;
  /** Candidate less served, on the same resamplings of the images, where both have scores of each image. */
  readonly difference?: Interval;
}

export interface Verdict {
  readonly admitted: boolean;
  readonly checks: readonly GateCheck[];
  /** One sentence for the record. */
  readonly reason: string;
}

/**
 * Whether `candidate` may replace `served`, both evaluated on the same held-out images. Restored by Algorithm 2, its RMSE may be at most
 * (1 + margin) times the served one's, its SSIM lower by at most `margin` (both for images in [0, 1]). That must hold for the worse end
 * of the interval of 95 % of the differences on resampled images (a test of non-inferiority), where both evaluations have scores of each
 * image; else for the means, and then a margin below their sampling error makes the gate a coin. Where nothing is served yet, the RMSE
 * must be below the best of the degraded image, a black one and the mean training image.
 */
export function judge(candidate: EvaluateResult, served: EvaluateResult | null, margin: number): Verdict {
  const checks = served === null ? [againstBaselines(candidate)] : againstServed(candidate, served, margin);
  return verdictOf(checks);
}

/** The verdict about a checkpoint of which it is not known what it was made from. */
export const unproven = (finding: string): Verdict => verdictOf([{ name: 'provenance', finding, passed: false }]);

function verdictOf(checks: readonly GateCheck[]): Verdict {
  const failed = checks.filter(({ passed }) => !passed);
  return {
    admitted: failed.length === 0,
    checks,
    reason: (failed.length === 0 ? checks : failed).map(({ finding }) => finding).join('; '),
  };
}

function againstBaselines({ rmse }: EvaluateResult): GateCheck {
  const limit = Math.min(rmse.degraded, rmse.black, rmse.mean);
  return atMost('rmse', 'best without a network', rmse.sampled, limit);
}

function againstServed(candidate: EvaluateResult, served: EvaluateResult, margin: number): GateCheck[] {
  for (const field of ['dataset', 'split', 'count', 'severity'] as const)
    if (candidate[field] !== served[field]) {
      const finding = `not comparable: ${field} is ${candidate[field]}, and ${served[field]} for step ${served.step} of run ${served.run}`;
      return [{ name: 'comparable', finding, passed: false }];
    }
  if (candidate.perImage !== undefined && served.perImage !== undefined)
    return byIntervals(candidate, served, candidate.perImage, served.perImage, margin);
  const floor = served.ssim.sampled - margin;
  const { sampled } = candidate.ssim;
  return [
    atMost('rmse', `allowed after step ${served.step}`, candidate.rmse.sampled, served.rmse.sampled * (1 + margin)),
    {
      name: 'ssim',
      finding: `SSIM ${sampled.toFixed(5)}, least allowed after step ${served.step} ${floor.toFixed(5)}`,
      // Not a number passes nothing.
      passed: sampled >= floor,
    },
  ];
}

const atMost = (name: 'rmse', of: string, value: number, limit: number): GateCheck => ({
  name,
  finding: `RMSE ${value.toFixed(5)}, ${of} ${limit.toFixed(5)}`,
  passed: value <= limit,
});

/** Of the bootstrap: always the same, so that a verdict can be recomputed from its evidence. */
const [resamplings, seed] = [1000, 0];

type PerImage = NonNullable<EvaluateResult['perImage']>;

function byIntervals(
  { rmse, ssim }: EvaluateResult,
  served: EvaluateResult,
  own: PerImage,
  others: PerImage,
  margin: number,
): GateCheck[] {
  const lengths = [own.square, own.ssim, others.square, others.ssim].map(({ length }) => length);
  if (lengths.some((length) => length !== served.count))
    return [{ name: 'comparable', finding: `not comparable: scores of ${lengths.join(', ')} images`, passed: false }];
  const draws = resample(served.count, resamplings, seed);
  const mean = (values: readonly number[], images: Int32Array): number => {
    let sum = 0;
    for (const image of images) sum += values[image]!;
    return sum / images.length;
  };
  const differenceOf = (value: number, drawn: (images: Int32Array) => number): Interval => ({
    value,
    ...middle(draws.map(drawn)),
  });
  const errors = differenceOf(
    rmse.sampled - served.rmse.sampled,
    (images) => Math.sqrt(mean(own.square, images)) - Math.sqrt(mean(others.square, images)),
  );
  const likeness = differenceOf(
    ssim.sampled - served.ssim.sampled,
    (images) => mean(own.ssim, images) - mean(others.ssim, images),
  );
  const most = served.rmse.sampled * margin;
  const against = (score: number, of: number, { value, low, high }: Interval): string =>
    `${score.toFixed(5)}, ${of.toFixed(5)} for step ${served.step}: difference ${value.toFixed(5)} (${low.toFixed(5)} to ${high.toFixed(5)})`;
  // Not a number passes nothing.
  return [
    {
      name: 'rmse',
      finding: `RMSE ${against(rmse.sampled, served.rmse.sampled, errors)}, at most ${most.toFixed(5)} allowed`,
      passed: errors.high <= most,
      difference: errors,
    },
    {
      name: 'ssim',
      finding: `SSIM ${against(ssim.sampled, served.ssim.sampled, likeness)}, at least ${(-margin).toFixed(5)} allowed`,
      passed: likeness.low >= -margin,
      difference: likeness,
    },
  ];
}
