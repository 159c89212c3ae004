/** A long curve in few points, for a page that is opened late in a run. Pure. */
import type { StepPoint } from './status.js';

const mean = (values: readonly (number | null)[]): number | null => {
  const known = values.filter((value): value is number => value !== null);
  return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0) / known.length;
};

/** At most about `most` points: means of equally many neighbours, under the last one's step. The newest point stays as it is. */
export function thinPoints(points: readonly StepPoint[], most: number): readonly StepPoint[] {
  if (points.length <= most) return points;
  const size = Math.ceil((points.length - 1) / (most - 1));
  const thinned: StepPoint[] = [];
  for (let first = 0; first < points.length - 1; first += size) {
    const group = points.slice(first, Math.min(first + size, points.length - 1));
    thinned.push({
      step: group.at(-1)!.step,
      loss: mean(group.map(({ loss }) => loss)),
      imagesPerSecond: mean(group.map(({ imagesPerSecond }) => imagesPerSecond)),
    });
  }
  thinned.push(points.at(-1)!);
  return thinned;
}
