/** What a job starts from besides degraded images: priors and noise. */
import { ThawError, type JobSpec } from '@thaw/shared/protocol';
import type { JobRequest } from '../jobs/index.js';
import type { ModelSource, RestorationModel } from '../ports.js';

export interface JobStart {
  /** Undefined: the degraded image, or what the degradation draws, is all. */
  readonly start?: JobSpec['start'];
  /** Severity at which it starts, where the prior says so. */
  readonly severity?: number | undefined;
}

/**
 * The prior and the noise of a generation job: the prior of the version, unless the request names another one.
 * @throws ThawError THAW_PRIOR_MISSING, THAW_PRIOR_INVALID, THAW_SAMPLING_INVALID, THAW_JOB_INVALID
 */
export async function generationFrom(
  { noise: asked, prior: named }: Pick<JobRequest, 'noise' | 'prior'>,
  { generationStart, shape, steps, version }: Pick<RestorationModel, 'generationStart' | 'shape' | 'steps' | 'version'>,
  models: Pick<ModelSource, 'priorOf'>,
): Promise<JobStart> {
  const usual = generationStart?.();
  if (usual?.noise === undefined && asked !== undefined)
    throw new ThawError('THAW_JOB_INVALID', 'noise: the start of this model is noise already; leave it out.');
  const noise = asked ?? usual?.noise ?? 0;
  if (usual?.from !== 'prior' && named !== undefined)
    throw new ThawError('THAW_JOB_INVALID', 'prior: generation with this model starts from none; leave it out.');
  if (usual?.from === 'nothing') return noise === 0 ? {} : { start: { noise } };
  const prior = usual && (await models.priorOf?.(version, named));
  if (prior === undefined)
    throw new ThawError(
      'THAW_PRIOR_MISSING',
      `The run ${version.run} has no generation prior, so there is nothing to generate from.`,
    );
  const { mixture, edge, severity, sha256 } = prior;
  const which = named === undefined ? `The prior of run ${version.run}` : `prior: ${named}`;
  const values = edge * edge * shape.channels;
  if (mixture.means[0]!.length !== values || edge > shape.height)
    throw new ThawError(
      'THAW_PRIOR_INVALID',
      `${which} is of images with ${mixture.means[0]!.length} values; ${edge} x ${edge} pixels with ${shape.channels} channels of an image of ${shape.height} are ${values}.`,
    );
  if (severity !== undefined && severity > steps)
    throw new ThawError(
      'THAW_PRIOR_INVALID',
      `${which} is of images at severity ${severity}; the model has severities 1 to ${steps}.`,
    );
  return { start: { mixture, edge, noise, prior: sha256 }, severity };
}

/**
 * The noise of a restoration: added to the degraded image and taken off the result, as the official tracing sampler of blurs does
 * with a deviation of 0.001.
 */
export const restorationFrom = ({ noise = 0 }: Pick<JobRequest, 'noise'>): JobStart =>
  noise === 0 ? {} : { start: { noise, removed: true } };
