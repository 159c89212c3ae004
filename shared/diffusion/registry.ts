/** All degradation families: one line each. */
import type { DegradationConfig } from '../protocol/index.js';
import { degradationProblems, ThawError } from '../protocol/index.js';
import type { Degradation, ImageGeometry } from './degradation.js';
import { createBlur } from './families/blur.js';
import { createColourMask } from './families/colour-mask.js';
import { createDecolorization } from './families/decolorization.js';
import { createFade } from './families/fade.js';
import { createMask } from './families/mask.js';
import { createAnimorphosis, createNoise } from './families/mixing.js';
import { createSnow } from './families/snow.js';
import { createSuperResolution } from './families/super-resolution.js';

type Family = DegradationConfig['family'];
type Creator<F extends Family> = (
  config: Extract<DegradationConfig, { family: F }>,
  geometry: ImageGeometry,
) => Degradation;

const families: { readonly [F in Family]: Creator<F> } = {
  blur: createBlur,
  'super-resolution': createSuperResolution,
  decolorization: createDecolorization,
  mask: createMask,
  'colour-mask': createColourMask,
  noise: createNoise,
  animorphosis: createAnimorphosis,
  snow: createSnow,
  fade: createFade,
};

export const degradationFamilies = Object.keys(families) as Family[];

/**
 * The degradation of a run. Computes its tables (up to a second at 128 pixels and 300 steps): make it once.
 * @throws ThawError THAW_DEGRADATION_INVALID when the parameters do not fit the image.
 */
export function createDegradation(config: DegradationConfig, geometry: ImageGeometry): Degradation {
  const [problem] = degradationProblems(config, geometry);
  if (problem !== undefined)
    throw new ThawError('THAW_DEGRADATION_INVALID', `degradation.${problem.path.join('.')}: ${problem.message}`);
  return (families[config.family] as Creator<Family>)(config, geometry);
}
