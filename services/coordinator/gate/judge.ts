/** The rule of a gated channel. Pure: the same evaluations give the same verdict. */
import type { EvaluateResult } from '@thaw/shared/protocol';

/** One thing that was asked of a candidate. */
export interface GateCheck {
  readonly name: 'provenance' | 'comparable' | 'rmse' | 'ssim';
  /** What was asked and found, with values. */
  readonly finding: string;
  readonly passed: boolean;
}

export interface Verdict {
  readonly admitted: boolean;
  readonly checks: readonly GateCheck[];
  /** One sentence for the record. */
  readonly reason: string;
}

/**
 * Whether `candidate` may replace `served`, both evaluated on the same held-out images. Restored by Algorithm 2, its RMSE may be at most
 * (1 + margin) times the served one's, its SSIM lower by at most `margin` (both for images in [0, 1]). Where nothing is served yet, the
 * RMSE must be below the best of the degraded image, a black one and the mean training image. The scores are means over the images;
 * a margin below their sampling error makes the gate a coin.
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
