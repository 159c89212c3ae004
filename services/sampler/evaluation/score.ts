/** Scores of restorations against what costs nothing: the degraded image, a black one, the mean training image. Pure. */
import { toZeroOne } from '@thaw/shared/diffusion';
import { hasSsim, imageErrors } from '@thaw/shared/evaluation';
import { mostScoredApart, type EvaluateResult } from '@thaw/shared/protocol';
import type { ImageShape } from '../ports.js';

/** One test image and everything compared with it; float32 [H, W, C] in [-1, 1]. */
export interface ScoredImage {
  readonly original: Float32Array;
  readonly degraded: Float32Array;
  readonly direct: Float32Array;
  readonly sampled: Float32Array;
}

export type Scores = Pick<EvaluateResult, 'l1' | 'rmse' | 'ssim' | 'psnr' | 'perImage'>;

const compared = ['degraded', 'black', 'mean', 'direct', 'sampled'] as const;
type Compared = (typeof compared)[number];
type PerImage = Record<Compared, number>;

const zero = (): PerImage => ({ degraded: 0, black: 0, mean: 0, direct: 0, sampled: 0 });

/** Adds up image by image; all values are on the scale [0, 1], as the paper reports them. */
export class ScoreBoard {
  readonly #shape: ImageShape;
  readonly #black: Float32Array;
  readonly #mean: Float32Array;
  readonly #absolute = zero();
  readonly #squared = zero();
  readonly #ssim = zero();
  readonly #psnr = zero();
  /** Of what was sampled. */
  readonly #perImage = { square: [] as number[], ssim: [] as number[] };
  #images = 0;

  /** @param meanTrain [H, W, C] in [0, 255] */
  constructor(shape: ImageShape, meanTrain: Float32Array) {
    this.#shape = shape;
    this.#black = new Float32Array(shape.height * shape.width * shape.channels);
    this.#mean = meanTrain.map((value) => value / 255);
  }

  add(image: ScoredImage): void {
    const clean = toZeroOne(image.original);
    const others: Record<Compared, Float32Array> = {
      degraded: toZeroOne(image.degraded),
      black: this.#black,
      mean: this.#mean,
      direct: toZeroOne(image.direct),
      sampled: toZeroOne(image.sampled),
    };
    for (const name of compared) {
      const other = others[name];
      const square = imageErrors.square(other, clean);
      const ssim = hasSsim(this.#shape) ? imageErrors.ssim(other, clean, this.#shape) : 0;
      this.#absolute[name] += imageErrors.l1(other, clean);
      this.#squared[name] += square;
      this.#ssim[name] += ssim;
      this.#psnr[name] += imageErrors.psnr(other, clean);
      if (name !== 'sampled' || this.#images >= mostScoredApart) continue;
      this.#perImage.square.push(square);
      this.#perImage.ssim.push(ssim);
    }
    this.#images++;
  }

  /** L1, SSIM and PSNR: means over the images. RMSE: root of the mean square over all values of all images. */
  scores(): Scores {
    if (this.#images === 0) throw new Error('nothing was scored');
    const means = (sums: PerImage): PerImage => mapped((name) => sums[name] / this.#images);
    const l1 = means(this.#absolute);
    const rmse = mapped((name) => Math.sqrt(this.#squared[name] / this.#images));
    return {
      ...{ l1: withRatio(l1), rmse: withRatio(rmse), ssim: means(this.#ssim), psnr: means(this.#psnr) },
      ...(this.#images > mostScoredApart ? {} : { perImage: this.#perImage }),
    };
  }
}

const mapped = (value: (name: Compared) => number): PerImage =>
  Object.fromEntries(compared.map((name) => [name, value(name)])) as PerImage;

/** `ratio`: sampled / best baseline. A baseline without error leaves nothing to restore: 1 when matched, else the error itself in units of 1e-12. */
function withRatio(scores: PerImage): PerImage & { ratio: number } {
  const best = Math.max(1e-12, Math.min(scores.degraded, scores.black, scores.mean));
  return { ...scores, ratio: Math.max(1e-12, scores.sampled) / best };
}
