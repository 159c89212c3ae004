/** All degradation families: one line each. */
import type { DegradationConfig } from '../protocol/index.js';
import type { Degradation, ImageGeometry } from './degradation.js';
import { createBlur } from './families/blur.js';

type Family = DegradationConfig['family'];
type Creator<F extends Family> = (
  config: Extract<DegradationConfig, { family: F }>,
  geometry: ImageGeometry,
) => Degradation;

const families: { readonly [F in Family]: Creator<F> } = {
  blur: createBlur,
};

export const degradationFamilies = Object.keys(families) as Family[];

/**
 * The degradation of a run. Computes its tables (up to a second at 128 pixels and 300 steps): make it once.
 * @throws ThawError THAW_DEGRADATION_INVALID when the parameters do not fit the image.
 */
export function createDegradation(config: DegradationConfig, geometry: ImageGeometry): Degradation {
  return (families[config.family] as Creator<Family>)(config, geometry);
}
