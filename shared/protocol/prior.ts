/** The prior of a run: from what colours generation starts. Stored as `runs/<run>/prior.json`; a job carries what it used. */
import { z } from 'zod';
import { NameSchema } from './run-config.js';

export const priorFormat = 'thaw.prior/1';
export const priorKey = (run: string): string => `runs/${NameSchema.parse(run)}/prior.json`;

const numbers = z.array(z.number()).min(1).max(3);

/** A Gaussian mixture of colours, one value per channel in [-1, 1]. */
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
  }, 'must have one mean and one square covariance for each weight, all of one size');

export const PriorSchema = z.strictObject({
  format: z.literal(priorFormat),
  run: NameSchema,
  /** What it was fitted to: the means of the channels of every image of the train split. */
  dataset: z.strictObject({ name: NameSchema, sha256: z.string() }),
  images: z.int().min(1),
  seed: z.int().min(0),
  iterations: z.int().min(1),
  /** Mean log-likelihood of an image. */
  logLikelihood: z.number(),
  mixture: MixtureSchema,
});
export type Prior = z.infer<typeof PriorSchema>;
