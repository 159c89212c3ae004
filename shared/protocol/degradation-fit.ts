/** Which degradations fit which images: rules between fields, with the field named and what is allowed. Pure arithmetic. */
import type { BlurConfig, DegradationConfig, FadeConfig, SuperResolutionConfig } from './degradation-config.js';

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

/** Where the linear schedules of Linear_Accum_Std and Linear_Dec_Std begin (official `start_kernel_std`). */
const linearStart = 0.01;

/**
 * Sigma of step `index`, from 0, of the routines whose sigmas add up (as squares) to `kernelStd` (official `target_kernel_std`):
 * Linear_Accum_Std adds up linearly from 0.01, Linear_Dec_Std falls linearly to a hundredth of where it begins. Undefined: another routine.
 */
export function linearSigma({ routine, kernelStd, steps }: BlurConfig, index: number): number | undefined {
  const along = (k: number): number => (steps === 1 ? 0 : k / (steps - 1));
  if (routine === 'Linear_Accum_Std') {
    const total = (k: number): number => linearStart + (kernelStd - linearStart) * along(k);
    return index === 0 ? total(0) : Math.sqrt(total(index) * total(index) - total(index - 1) * total(index - 1));
  }
  if (routine !== 'Linear_Dec_Std') return undefined;
  const fall = 1 - linearStart;
  const squares = steps === 1 ? 1 : steps - fall * steps + (fall * fall * steps * (2 * steps - 1)) / (6 * (steps - 1));
  return ((1 - fall * along(index)) * kernelStd) / Math.sqrt(squares);
}

/** Taps of the window of step `index`, from 0. */
export function blurTaps(config: BlurConfig, index: number): number {
  const { routine, kernelSize } = config;
  const sigma = linearSigma(config, index);
  if (sigma !== undefined) return 2 * Math.floor(2 * sigma) + 3;
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
  if (config.routine === 'Linear_Accum_Std' && config.kernelStd < linearStart)
    return [
      { path: ['kernelStd'], message: `${config.kernelStd} is below ${linearStart}, where Linear_Accum_Std begins` },
    ];
  const widest = Math.max(blurTaps(config, 0), blurTaps(config, config.steps - 1));
  const radius = Math.floor(widest / 2);
  if (radius <= limit) return [];
  const window = `a window of ${widest} taps (radius ${radius}) does not fit an image of ${size} pixels with ${padding} padding (radius at most ${limit})`;
  if (config.routine === 'Individual_Incremental')
    return [{ path: ['steps'], message: `${window}; use at most ${limit + 1} steps` }];
  if (config.routine === 'Special_6_routine')
    return [{ path: ['routine'], message: `${window}; use images of at least 6 pixels` }];
  if (linearSigma(config, 0) !== undefined)
    return [{ path: ['kernelStd'], message: `${window}; use a smaller kernelStd or more steps` }];
  return [{ path: ['kernelSize'], message: `${window}; use at most ${2 * limit + 1}` }];
}

function superResolutionProblems(config: SuperResolutionConfig, size: number): DegradationProblem[] {
  const { routine, steps } = config;
  if (shrunkSize(config, size, steps - 1) >= 1) return [];
  const most = routine.endsWith('factor_2') ? Math.floor(Math.log2(size)) : size;
  const message = `${steps} steps of ${routine} leave nothing of an image of ${size} pixels; use at most ${most} steps`;
  return [{ path: ['steps'], message }];
}

function fadeProblems({ routine, steps, factor }: FadeConfig, size: number): DegradationProblem[] {
  if (routine === 'Constant') return [];
  const most = routine === 'Incremental' ? Math.max(1, Math.floor(1 / factor + 1e-9)) : size * size;
  if (steps <= most) return [];
  const why = routine === 'Incremental' ? `a factor of ${factor} grows to 1` : `an image has ${most} pixels`;
  return [{ path: ['steps'], message: `${steps} steps of ${routine} are too many, ${why}; use at most ${most} steps` }];
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
      return size >= taps
        ? []
        : problem(
            'level',
            `snow of level ${config.level} needs images of at least ${taps} pixels, data.size is ${size}`,
          );
    }
    case 'fade':
      return fadeProblems(config, size);
    case 'noise':
    case 'animorphosis':
      return [];
  }
}
