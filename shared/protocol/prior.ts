/**
 * A prior: from what images of a few pixels generation starts. A blob, bound to checkpoints (shared/storage/priors); `runs/<run>/prior.json`
 * is what checkpoints without one will get. A job carries what it used.
 */
import { z } from 'zod';
import { NameSchema } from './names.js';

export const priorFormat = 'thaw.prior/1';
export const priorKey = (run: string): string => `runs/${NameSchema.parse(run)}/prior.json`;

/** Numbers of all covariances of a mixture together: a job that carries them is one message. */
export const mostPriorNumbers = 40_000;
const numbers = z.array(z.number()).min(1).max(200);

/** A Gaussian mixture of images [edge, edge, C], flat, values in about [-1, 1]. */
export const MixtureSchema = z
  .strictObject({
    weights: z.array(z.number().min(0).max(1)).min(1).max(100),
    means: z.array(numbers),
    covariances: z.array(z.array(numbers)),
  })
  .refine(({ weights, means, covariances }) => {
    const channels = means[0]?.length;
    const square = (matrix: number[][]): boolean =>
      matrix.length === channels && matrix.every((row) => row.length === channels);
    const counts = means.length === weights.length && covariances.length === weights.length;
    return counts && means.every((mean) => mean.length === channels) && covariances.every(square);
  }, 'must have one mean and one square covariance for each weight, all of one size')
  .refine(
    ({ covariances }) => covariances.flat().reduce((sum, row) => sum + row.length, 0) <= mostPriorNumbers,
    `must have at most ${mostPriorNumbers} numbers in its covariances`,
  );

export const PriorSchema = z.strictObject({
  format: z.literal(priorFormat),
  run: NameSchema,
  /** Severity to which the images were degraded, and at which generation starts; the last unless given. */
  severity: z.int().min(1).optional(),
  /** Edge of the images after shrinking; 1: the means of the channels. */
  edge: z.int().min(1).default(1),
  /** What it was fitted to: every image of the train split. */
  dataset: z.strictObject({ name: NameSchema, sha256: z.string() }),
  images: z.int().min(1),
  seed: z.int().min(0),
  iterations: z.int().min(1),
  /** Mean log-likelihood of an image. */
  logLikelihood: z.number(),
  mixture: MixtureSchema,
});
export type Prior = z.infer<typeof PriorSchema>;
