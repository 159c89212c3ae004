/** What an evaluation says: scores with bootstrap intervals, and errors along the trajectory. Pure. */
import { l1, psnr, ssim, toZeroOne } from '@thaw/shared/diffusion';
import { ThawError } from '@thaw/shared/protocol';
import { RandomStream } from '@thaw/shared/runtime';
import type { ImageShape } from '../ports.js';

export const reportMetrics = ['rmse', 'ssim', 'psnr', 'l1'] as const;
export type ReportMetric = (typeof reportMetrics)[number];
/** Every row of the report is compared with the original test images. */
export const reportRows = ['degraded', 'direct', 'sampled'] as const;
export type ReportRow = (typeof reportRows)[number];

/** A score and where it lies in 95 % of the resamplings of the test images. */
export interface Interval {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

/** RMSE of the states x_s and of the estimates R(x_s, s - 1), over all images. */
export interface CurvePoint {
  readonly severity: number;
  readonly state: number;
  readonly estimate: number;
}

export interface ReportScores {
  readonly scores: Partial<Record<ReportMetric, Record<ReportRow, Interval>>>;
  /** sampled - direct on the same resamplings: an interval without 0 is a difference. */
  readonly sampledMinusDirect: Partial<Record<ReportMetric, Interval>>;
  readonly curve: readonly CurvePoint[];
}

/** One test image on its way; float32 [H, W, C] in [-1, 1]. */
export interface EvaluatedImage {
  readonly original: Float32Array;
  readonly degraded: Float32Array;
  readonly direct: Float32Array;
  readonly sampled: Float32Array;
  /** At every severity called, from T down. */
  readonly states: readonly { readonly severity: number; readonly x: Float32Array; readonly estimate: Float32Array }[];
}

/** Metrics by name. @throws ThawError THAW_REQUEST_INVALID naming what is unknown and what there is */
export function parseMetrics(text: string): ReportMetric[] {
  const names = text.split(',').map((name) => name.trim());
  const unknown = names.filter((name) => !reportMetrics.some((metric) => metric === name));
  if (unknown.length > 0)
    throw new ThawError(
      'THAW_REQUEST_INVALID',
      `metrics: "${unknown.join('", "')}" is unknown; there are ${reportMetrics.join(', ')}.`,
      { cure: 'The Frechet distance needs a network of features, which Thaw does not ship.' },
    );
  return reportMetrics.filter((metric) => names.includes(metric));
}

const meanSquare = (a: Float32Array, b: Float32Array): number => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i]! - b[i]!) * (a[i]! - b[i]!);
  return sum / a.length;
};

/** Equal images have no finite PSNR; JSON has no infinity. */
const highestPsnrDb = 100;

export interface ReportOptions {
  readonly shape: ImageShape;
  readonly metrics: readonly ReportMetric[];
  /** Resamplings of the bootstrap. */
  readonly resamplings?: number;
  readonly seed?: number;
}

export class ReportBoard {
  readonly #o: ReportOptions;
  /** Per image: what is averaged. For RMSE the mean square, whose root is taken afterwards. */
  readonly #values = new Map<string, number[]>();
  readonly #curve = new Map<number, { state: number; estimate: number }>();
  #images = 0;

  /** @throws ThawError THAW_REQUEST_INVALID when SSIM is asked for on images below its window */
  constructor(options: ReportOptions) {
    const { height, width } = options.shape;
    if (options.metrics.includes('ssim') && Math.min(height, width) < 11)
      throw new ThawError(
        'THAW_REQUEST_INVALID',
        `metrics: ssim needs images of 11 pixels, these have ${width} x ${height}.`,
      );
    this.#o = options;
  }

  add(image: EvaluatedImage): void {
    const { shape, metrics } = this.#o;
    const original = toZeroOne(image.original);
    for (const row of reportRows) {
      const other = toZeroOne(image[row]);
      const values: Record<ReportMetric, () => number> = {
        rmse: () => meanSquare(other, original),
        ssim: () => ssim(other, original, { batch: 1, ...shape }).mean,
        psnr: () => Math.min(highestPsnrDb, psnr(other, original)),
        l1: () => l1(other, original),
      };
      for (const metric of metrics) {
        const key = `${metric}/${row}`;
        const list = this.#values.get(key) ?? [];
        this.#values.set(key, list);
        list.push(values[metric]());
      }
    }
    for (const { severity, x, estimate } of image.states) {
      const point = this.#curve.get(severity) ?? { state: 0, estimate: 0 };
      this.#curve.set(severity, point);
      point.state += meanSquare(toZeroOne(x), original);
      point.estimate += meanSquare(toZeroOne(estimate), original);
    }
    this.#images++;
  }

  scores(): ReportScores {
    const { metrics, resamplings = 1000, seed = 0 } = this.#o;
    const count = this.#images;
    if (count === 0) throw new Error('nothing was evaluated');
    const stream = new RandomStream(seed, 'evaluation');
    const draws = Array.from({ length: resamplings }, () =>
      Int32Array.from({ length: count }, () => stream.below(count)),
    );
    const all = Int32Array.from({ length: count }, (_, i) => i);
    const scores: Partial<Record<ReportMetric, Record<ReportRow, Interval>>> = {};
    const differences: Partial<Record<ReportMetric, Interval>> = {};
    for (const metric of metrics) {
      const statistic = (row: ReportRow, images: Int32Array): number => {
        const values = this.#values.get(`${metric}/${row}`)!;
        let sum = 0;
        for (const image of images) sum += values[image]!;
        return metric === 'rmse' ? Math.sqrt(sum / count) : sum / count;
      };
      const interval = (of: (images: Int32Array) => number): Interval => {
        const drawn = Float64Array.from(draws, of).sort();
        const at = (share: number): number => drawn[Math.min(resamplings - 1, Math.floor(share * resamplings))]!;
        return { value: of(all), low: at(0.025), high: at(0.975) };
      };
      scores[metric] = Object.fromEntries(
        reportRows.map((row) => [row, interval((images) => statistic(row, images))]),
      ) as Record<ReportRow, Interval>;
      differences[metric] = interval((images) => statistic('sampled', images) - statistic('direct', images));
    }
    const curve = [...this.#curve]
      .sort(([a], [b]) => b - a)
      .map(([severity, { state, estimate }]) => ({
        severity,
        state: Math.sqrt(state / count),
        estimate: Math.sqrt(estimate / count),
      }));
    return { scores, sampledMinusDirect: differences, curve };
  }
}

/** A whole report. */
export interface EvaluationReport extends ReportScores {
  readonly format: 'thaw.evaluation-report/1';
  readonly run: string;
  readonly step: number;
  readonly manifestSha256: string;
  readonly dataset: string;
  readonly split: string;
  /** The first images of the split. */
  readonly count: number;
  readonly sampler: string;
  /** Severities at which the network was called, falling. */
  readonly severities: readonly number[];
  readonly seed: number;
}

/** The report as a page of text. */
export function reportMarkdown(report: EvaluationReport): string {
  const number = (value: number): string => value.toPrecision(4);
  const cell = ({ value, low, high }: Interval): string => `${number(value)} (${number(low)} to ${number(high)})`;
  const metrics = Object.keys(report.scores) as ReportMetric[];
  const table = (head: string[], rows: string[][]): string =>
    [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
  return `# ${report.run}, step ${report.step}

The first ${report.count} images of the split ${report.split} of ${report.dataset}; ${report.sampler} with ${report.severities.length} calls from severity ${report.severities[0]}; seed ${report.seed}.
Values are on the scale [0, 1], neither clamped nor rounded. RMSE is the root of the mean over all values of all images; the others are means
over images. In brackets: 95 % of the resamplings of the test images (bootstrap).

${table(
  ['', ...metrics],
  [
    ...reportRows.map((row) => [row, ...metrics.map((metric) => cell(report.scores[metric]![row]))]),
    ['sampled - direct', ...metrics.map((metric) => cell(report.sampledMinusDirect[metric]!))],
  ],
)}

RMSE along the way:

${table(
  ['severity', 'state x_s', 'estimate R(x_s)'],
  report.curve.map(({ severity, state, estimate }) => [String(severity), number(state), number(estimate)]),
)}
`;
}
