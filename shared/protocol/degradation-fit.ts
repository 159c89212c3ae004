/** Which degradations fit which images: rules between fields, with the field named and what is allowed. Pure arithmetic. */
import type { BlurConfig, DegradationConfig, SuperResolutionConfig } from './degradation-config.js';

/** What is wrong with one field of a degradation. */
export interface DegradationProblem {
  readonly path: readonly string[];
  readonly message: string;
}

/** Padding of a blur: its rows wrap around, or mirror without repeating the border pixel. */
export type BlurPadding = 'circular' | 'reflect';
const reflecting: readonly BlurConfig['routine'][] = ['Constant_reflect', 'Exponential_reflect', 'Special_6_routine'];
export const blurPadding = ({ routine }: BlurConfig): BlurPadding =>
  reflecting.includes(routine) ? 'reflect' : 'circular';

/** Taps of the window of step `index`, from 0. */
export function blurTaps({ routine, kernelSize }: BlurConfig, index: number): number {
  if (routine === 'Special_6_routine') return 11;
  return routine === 'Individual_Incremental' ? 2 * index + 1 : kernelSize;
}

/** Edge of the shrunk image at step `index`, from 0. */
export const shrunkSize = ({ routine }: SuperResolutionConfig, size: number, index: number): number =>
  routine.endsWith('factor_2') ? Math.floor(size / 2 ** (index + 1)) : size - index;

/** Pixels that snow of a level needs: the taps of its motion blur. */
export const snowTaps = (level: 1 | 2 | 3 | 4): number => (level === 1 ? 5 : 11);

function blurProblems(config: BlurConfig, size: number): DegradationProblem[] {
  const padding = blurPadding(config);
  const limit = padding === 'reflect' ? size - 1 : size;
  const widest = blurTaps(config, config.steps - 1);
  const radius = Math.floor(widest / 2);
  if (radius <= limit) return [];
  const window = `a window of ${widest} taps (radius ${radius}) does not fit an image of ${size} pixels with ${padding} padding (radius at most ${limit})`;
  if (config.routine === 'Individual_Incremental')
    return [{ path: ['steps'], message: `${window}; use at most ${limit + 1} steps` }];
  if (config.routine === 'Special_6_routine')
    return [{ path: ['routine'], message: `${window}; use images of at least 6 pixels` }];
  return [{ path: ['kernelSize'], message: `${window}; use at most ${2 * limit + 1}` }];
}

function superResolutionProblems(config: SuperResolutionConfig, size: number): DegradationProblem[] {
  const { routine, steps } = config;
  if (shrunkSize(config, size, steps - 1) >= 1) return [];
  const most = routine.endsWith('factor_2') ? Math.floor(Math.log2(size)) : size;
  const message = `${steps} steps of ${routine} leave nothing of an image of ${size} pixels; use at most ${most} steps`;
  return [{ path: ['steps'], message }];
}

/** Everything about a degradation that does not fit square images of this size. Empty: it fits. */
export function degradationProblems(
  config: DegradationConfig,
  { size, channels }: { readonly size: number; readonly channels: number },
): DegradationProblem[] {
  const problem = (field: string, message: string): DegradationProblem[] => [{ path: [field], message }];
  switch (config.family) {
    case 'blur':
      return blurProblems(config, size);
    case 'super-resolution':
      return superResolutionProblems(config, size);
    case 'decolorization':
      return channels === 3
        ? []
        : problem(
            'family',
            `decolorization needs colour images, data.channels is ${channels}; use a data set with 3 channels or another degradation`,
          );
    case 'mask':
    case 'colour-mask':
      return size % 2 === 0 ? [] : problem('family', `masks need an even image size, data.size is ${size}`);
    case 'snow': {
      const taps = snowTaps(config.level);
      if (size < taps)
        return problem(
          'level',
          `snow of level ${config.level} needs images of at least ${taps} pixels, data.size is ${size}`,
        );
      return config.singleSnow && (config.patternImages ?? 1) > 1
        ? problem('patternImages', 'singleSnow gives every image a pattern of its own; leave patternImages out')
        : [];
    }
    case 'noise':
    case 'animorphosis':
      return [];
  }
}
