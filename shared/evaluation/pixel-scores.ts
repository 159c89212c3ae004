/** Errors of pixels, image by image, with intervals; and along the trajectory. */
import { toZeroOne } from '@thaw/shared/diffusion';
import { ThawError } from '@thaw/shared/protocol';
import { middle, resample, type Interval } from '@thaw/shared/statistics';
import type { ComparedImages } from './conventions.js';
import { meanSquare, type ImageShape, type StateError } from './estimates.js';
import { hasSsim, imageErrors, ssimWindow } from './image-errors.js';
import { reportRows, type PixelMetric, type ReportRow } from './metrics.js';

/** RMSE of the states x_s and of the estimates R(x_s, s - 1), over all images. */
export interface CurvePoint {
  readonly severity: number;
  readonly state: number;
  readonly estimate: number;
}

export type RowScores = Record<ReportRow, Interval>;

export interface PixelScoresOptions {
  readonly shape: ImageShape;
  readonly metrics: readonly PixelMetric[];
  /** Of the bootstrap. */
  readonly resamplings: number;
  readonly seed: number;
}

export class PixelScores {
  readonly #o: PixelScoresOptions;
  /** Per image: what is averaged. For RMSE the mean square, whose root is taken afterwards. */
  readonly #values = new Map<string, number[]>();
  #images = 0;

  /** @throws ThawError THAW_REQUEST_INVALID when SSIM is asked for on images below its window */
  constructor(options: PixelScoresOptions) {
    const { height, width } = options.shape;
    if (options.metrics.includes('ssim') && !hasSsim(options.shape))
      throw new ThawError(
        'THAW_REQUEST_INVALID',
        `metrics: ssim needs images of ${ssimWindow} pixels, these have ${width} x ${height}.`,
      );
    this.#o = options;
    for (const metric of options.metrics) for (const row of reportRows) this.#values.set(`${metric}/${row}`, []);
  }

  add(original: Float32Array, compared: ComparedImages): void {
    const { shape, metrics } = this.#o;
    const clean = toZeroOne(original);
    for (const row of reportRows) {
      const other = toZeroOne(compared[row]);
      const values: Record<PixelMetric, () => number> = {
        rmse: () => meanSquare(compared[row], original),
        ssim: () => imageErrors.ssim(other, clean, shape),
        psnr: () => imageErrors.psnr(other, clean),
        l1: () => imageErrors.l1(other, clean),
      };
      for (const metric of metrics) this.#values.get(`${metric}/${row}`)!.push(values[metric]());
    }
    this.#images++;
  }

  /** Scores of every metric, and sampled - direct on the same resamplings: an interval without 0 is a difference. */
  scores(): { scores: Record<string, RowScores>; sampledMinusDirect: Record<string, Interval> } {
    const { metrics, resamplings, seed } = this.#o;
    const count = this.#images;
    if (count === 0) throw new Error('nothing was evaluated');
    const draws = resample(count, resamplings, seed);
    const all = Int32Array.from({ length: count }, (_, i) => i);
    const scores: Record<string, RowScores> = {};
    const sampledMinusDirect: Record<string, Interval> = {};
    for (const metric of metrics) {
      const statistic = (row: ReportRow, images: Int32Array): number => {
        const values = this.#values.get(`${metric}/${row}`)!;
        let sum = 0;
        for (const image of images) sum += values[image]!;
        return metric === 'rmse' ? Math.sqrt(sum / count) : sum / count;
      };
      const drawn = Object.fromEntries(
        reportRows.map((row) => [row, draws.map((images) => statistic(row, images))]),
      ) as Record<ReportRow, number[]>;
      scores[metric] = Object.fromEntries(
        reportRows.map((row) => [row, { value: statistic(row, all), ...middle(drawn[row]) }]),
      ) as RowScores;
      sampledMinusDirect[metric] = {
        value: scores[metric].sampled.value - scores[metric].direct.value,
        ...middle(drawn.sampled.map((value, i) => value - drawn.direct[i]!)),
      };
    }
    return { scores, sampledMinusDirect };
  }
}

/** RMSE by severity, over all images. */
export class ErrorCurve {
  readonly #sums = new Map<number, { images: number; state: number; estimate: number }>();

  add(errors: readonly StateError[]): void {
    for (const { severity, state, estimate } of errors) {
      const point = this.#sums.get(severity) ?? { images: 0, state: 0, estimate: 0 };
      this.#sums.set(severity, point);
      point.images++;
      point.state += state;
      point.estimate += estimate;
    }
  }

  /** From the highest severity down. */
  points(): CurvePoint[] {
    return [...this.#sums]
      .sort(([a], [b]) => b - a)
      .map(([severity, { images, state, estimate }]) => ({
        severity,
        state: Math.sqrt(state / images),
        estimate: Math.sqrt(estimate / images),
      }));
  }
}
