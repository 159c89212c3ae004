/**
 * Which images are compared. The official evaluation does not take the same ones for every degradation; what it takes can be
 * questioned, so each choice has a name and can be made otherwise.
 */
import { ThawError } from '@thaw/shared/protocol';
import type { Estimate } from './estimates.js';

export const degradedChoices = ['x_T', 'first-update'] as const;
export const sampledChoices = ['x_0', 'last-estimate'] as const;

export interface Convention {
  /** "Degraded": x_T, or the state after the sampler's first update, x_{T-1}. */
  readonly degraded: (typeof degradedChoices)[number];
  /** "Sampled": x_0, or the network's last estimate R(x_1, 0). */
  readonly sampled: (typeof sampledChoices)[number];
  /** The first image of the split that counts. */
  readonly firstImage: number;
}

/** Families whose official lists of states begin after the first update. */
const listsBeginLate = new Set(['mask', 'snow', 'decolorization']);
/** Families whose official "sampled" is the last estimate. */
const reportsEstimates = new Set(['super-resolution', 'mask', 'snow', 'decolorization']);

/**
 * The choices of the official code for a degradation: blur x_T and x_0, super-resolution x_T and the last estimate, masks, snow
 * and decolorization x_{T-1} and the last estimate; the first image of the split is left out. Families that it does not evaluate
 * are taken as blur. With one network call there is no x_{T-1}.
 */
export const officialConvention = (family: string, calls: number): Convention => ({
  degraded: listsBeginLate.has(family) && calls > 1 ? 'first-update' : 'x_T',
  sampled: reportsEstimates.has(family) ? 'last-estimate' : 'x_0',
  firstImage: 1,
});

/** The same for every degradation: x_T, x_0, all images. */
export const plainConvention: Convention = { degraded: 'x_T', sampled: 'x_0', firstImage: 0 };

export const conventionNames = ['official', 'plain'] as const;
export type ConventionName = (typeof conventionNames)[number];

/** The images that are compared with the original, by row of the report. */
export interface ComparedImages {
  readonly degraded: Float32Array;
  readonly direct: Float32Array;
  readonly sampled: Float32Array;
}

/** @throws ThawError THAW_REQUEST_INVALID when the source of the estimates does not give what the convention takes */
export function comparedImages(estimate: Estimate, { degraded, sampled }: Convention): ComparedImages {
  return {
    degraded: degraded === 'x_T' ? estimate.degraded : given(estimate.firstUpdate, 'degraded', degraded),
    direct: estimate.direct,
    sampled: sampled === 'x_0' ? estimate.sampled : given(estimate.lastEstimate, 'sampled', sampled),
  };
}

function given(image: Float32Array | undefined, row: string, choice: string): Float32Array {
  if (image === undefined)
    throw new ThawError('THAW_REQUEST_INVALID', `${row}: these estimates come without the ${choice} of each image.`, {
      cure: 'Use more than one network call, or --convention plain.',
    });
  return image;
}
