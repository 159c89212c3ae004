/** Frechet distances of degraded, direct and sampled images from the originals, with intervals at bounded cost. */
import { centredInterval, resample, type Interval } from '@thaw/shared/statistics';
import type { ComparedImages } from './conventions.js';
import type { ImageShape } from './estimates.js';
import type { FeatureExtractor } from './features/extractor.js';
import { distanceOfSides, FeatureMoments, frechetSide } from './frechet/index.js';
import { reportRows, type ReportRow } from './metrics.js';

/** A distance without `low` and `high` was not resampled: too many dimensions for bounded cost. */
export type Distance = Pick<Interval, 'value'> & Partial<Interval>;

export interface FrechetResult {
  readonly distances: Record<ReportRow, Distance>;
  readonly sampledMinusDirect: Distance;
  /** Groups of images that were resampled, and how often; 0 for none. */
  readonly groups: number;
  readonly resamplings: number;
}

/** Cost of the intervals grows with the cube of the dimensions, memory with groups times their square. */
export function resamplingPlan(dimensions: number): { groups: number; resamplings: number } {
  if (dimensions <= 128) return { groups: 100, resamplings: 200 };
  if (dimensions <= 512) return { groups: 25, resamplings: 40 };
  return { groups: 1, resamplings: 0 };
}

const sides = ['original', ...reportRows] as const;
type Side = (typeof sides)[number];
const bySide = <T>(value: (side: Side) => T): Record<Side, T> =>
  Object.fromEntries(sides.map((side) => [side, value(side)])) as Record<Side, T>;

export class FrechetScores {
  readonly #extractor: FeatureExtractor;
  readonly #shape: ImageShape;
  readonly #seed: number;
  readonly #plan: ReturnType<typeof resamplingPlan>;
  /** Image i belongs to group i mod groups, on every side. */
  readonly #groups: Record<Side, FeatureMoments>[] = [];
  #images = 0;

  constructor(extractor: FeatureExtractor, shape: ImageShape, seed: number) {
    this.#extractor = extractor;
    this.#shape = shape;
    this.#seed = seed;
    this.#plan = resamplingPlan(extractor.dimensions);
  }

  async add(originals: readonly Float32Array[], compared: readonly ComparedImages[]): Promise<void> {
    const d = this.#extractor.dimensions;
    const first = this.#images;
    this.#images += originals.length;
    for (const side of sides) {
      const images = side === 'original' ? originals : compared.map((image) => image[side]);
      const features = await this.#extractor.extract(images, this.#shape);
      images.forEach((_, i) => this.#group(first + i)[side].add(features.subarray(i * d, (i + 1) * d)));
    }
  }

  /** @throws RangeError with fewer than two images */
  result(): FrechetResult {
    const { resamplings } = this.#plan;
    const groups = this.#groups.length;
    const all = this.#distances(Int32Array.from({ length: groups }, (_, i) => i));
    const difference = (values: Record<ReportRow, number>): number => values.sampled - values.direct;
    // A resampling of two or three groups says nothing.
    if (resamplings === 0 || groups < 20)
      return {
        distances: Object.fromEntries(reportRows.map((row) => [row, { value: all[row] }])) as Record<
          ReportRow,
          Distance
        >,
        sampledMinusDirect: { value: difference(all) },
        groups: 0,
        resamplings: 0,
      };
    const drawn = resample(groups, resamplings, this.#seed, 1).map((draw) => this.#distances(draw));
    return {
      distances: Object.fromEntries(
        reportRows.map((row) => [
          row,
          centredInterval(
            all[row],
            drawn.map((values) => values[row]),
          ),
        ]),
      ) as Record<ReportRow, Distance>,
      sampledMinusDirect: centredInterval(difference(all), drawn.map(difference)),
      groups,
      resamplings,
    };
  }

  /** Distances of the images of these groups, each as often as it is named. */
  #distances(groups: Int32Array): Record<ReportRow, number> {
    const times = new Map<number, number>();
    for (const group of groups) times.set(group, (times.get(group) ?? 0) + 1);
    const merged = bySide((side) => {
      const moments = new FeatureMoments(this.#extractor.dimensions);
      for (const [group, count] of times) moments.merge(this.#groups[group]![side], count);
      return frechetSide(moments.statistics());
    });
    return Object.fromEntries(reportRows.map((row) => [row, distanceOfSides(merged[row], merged.original)])) as Record<
      ReportRow,
      number
    >;
  }

  #group(image: number): Record<Side, FeatureMoments> {
    const index = image % this.#plan.groups;
    return (this.#groups[index] ??= bySide(() => new FeatureMoments(this.#extractor.dimensions)));
  }
}
