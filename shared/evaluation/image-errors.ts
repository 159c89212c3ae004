/** What is averaged over images: errors of one image against another, both float32 [H, W, C] on the scale [0, 1]. */
import { l1, meanSquaredError, psnr, ssim } from '@thaw/shared/diffusion';
import type { ImageShape } from './estimates.js';

/** Equal images have no finite PSNR; JSON has no infinity. */
const highestPsnrDb = 100;
/** Edge of SSIM's window: smaller images have no SSIM. */
export const ssimWindow = 11;

export const hasSsim = ({ height, width }: ImageShape): boolean => Math.min(height, width) >= ssimWindow;

/** By metric; `square` is the mean square, whose root over all images is the RMSE. */
export const imageErrors = {
  square: meanSquaredError,
  l1,
  /** @throws RangeError for images below the window */
  ssim: (other: Float32Array, clean: Float32Array, shape: ImageShape): number =>
    ssim(other, clean, { batch: 1, ...shape }).mean,
  /** At most 100 dB. */
  psnr: (other: Float32Array, clean: Float32Array): number => Math.min(highestPsnrDb, psnr(other, clean)),
} as const;
