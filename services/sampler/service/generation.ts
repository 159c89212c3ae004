/** What a generation job starts from. */
import { publishedStartNoise } from '@thaw/shared/diffusion';
import { ThawError, type JobSpec } from '@thaw/shared/protocol';
import type { JobRequest } from '../jobs/index.js';
import type { ModelSource, RestorationModel } from '../ports.js';

/**
 * The prior and the noise of the start; undefined when the degradation itself draws it.
 * @throws ThawError THAW_PRIOR_MISSING, THAW_SAMPLING_INVALID, THAW_JOB_INVALID
 */
export async function generationFrom(
  { noise }: Pick<JobRequest, 'noise'>,
  { generationStart, shape, version }: Pick<RestorationModel, 'generationStart' | 'shape' | 'version'>,
  models: Pick<ModelSource, 'priorOf'>,
): Promise<JobSpec['start']> {
  if (generationStart?.() === 'nothing') {
    if (noise !== undefined)
      throw new ThawError(
        'THAW_JOB_INVALID',
        'noise: the start of this model is drawn by its degradation; leave it out.',
      );
    return undefined;
  }
  const mixture = generationStart && (await models.priorOf?.(version.run));
  if (mixture === undefined)
    throw new ThawError(
      'THAW_PRIOR_MISSING',
      `The run ${version.run} has no generation prior, so there is nothing to generate from.`,
    );
  if (mixture.means[0]!.length !== shape.channels)
    throw new ThawError(
      'THAW_PRIOR_MISSING',
      `The prior of run ${version.run} has ${mixture.means[0]!.length} channels; its images have ${shape.channels}.`,
    );
  const { weights, means, covariances } = mixture;
  return {
    mixture: {
      weights: [...weights],
      means: means.map((mean) => [...mean]),
      covariances: covariances.map((matrix) => matrix.map((row) => [...row])),
    },
    noise: noise ?? publishedStartNoise,
  };
}
