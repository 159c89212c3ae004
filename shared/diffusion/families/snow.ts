/**
 * Snow (section 2.7 of the reference, after ImageNet-C): a thresholded, motion-blurred field and its 180 degree rotation are added to
 * the clean image. D(x, s) depends on the clean image only. Streaks and field are drawn once per image, or once for `patternImages`; with
 * `singleSnow` every image has its field, and half of `patternImages` images have vertical streaks, another half at every severity.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { SnowConfig } from '../../protocol/index.js';
import { snowTaps } from '../../protocol/index.js';
import { RandomStream } from '../../runtime/index.js';
import type { Degradation, ImageGeometry, PlaceAmong, Table } from '../degradation.js';
import { required } from '../degradation.js';
import { scalarAt, severityTable } from '../per-image.js';
import { gaussianWindow } from '../window.js';

interface SnowLevel {
  /** Mean and deviation of the field. */
  readonly mean: number;
  readonly deviation: number;
  readonly zoom: number;
  /** First and last index. */
  readonly threshold: readonly [number, number];
  readonly sigma: readonly [number, number];
  readonly brightness: readonly [number, number];
}

export const snowLevels: Readonly<Record<SnowConfig['level'], SnowLevel>> = {
  1: { mean: 0.1, deviation: 0.3, zoom: 3, threshold: [0.7, 0.3], sigma: [0.5, 5], brightness: [0.95, 0.7] },
  2: {
    mean: 0.55,
    deviation: 0.3,
    zoom: 2.5,
    threshold: [1.15, 0.7],
    sigma: [0.05, 12],
    brightness: [0.95, 0.55],
  },
  3: {
    mean: 0.55,
    deviation: 0.3,
    zoom: 2.5,
    threshold: [1.15, 0.7],
    sigma: [0.05, 16],
    brightness: [0.95, 0.4],
  },
  4: {
    mean: 0.55,
    deviation: 0.3,
    zoom: 2.5,
    threshold: [1.15, 0.55],
    sigma: [0.05, 20],
    brightness: [0.95, 0.3],
  },
};

/** Linear in the index s - 1; severity 0 is given the start value (it is not used). */
export const atIndex = ([start, end]: readonly [number, number], steps: number, severity: number): number =>
  severity <= 1 ? start : start + ((end - start) * (severity - 1)) / (steps - 1);

const roundHalfToEven = (x: number): number => {
  const rounded = Math.round(x);
  return rounded - x === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
};

/** Clipped zoom: the central square of edge ceil(H / zoom) enlarged linearly (corner-aligned) and cropped to H. */
export function clippedZoom(field: Float32Array, size: number, zoom: number): Float32Array {
  const crop = Math.ceil(size / zoom);
  const top = Math.floor((size - crop) / 2);
  const enlarged = roundHalfToEven(crop * zoom);
  const offset = Math.floor((enlarged - size) / 2);
  const positions = Array.from({ length: size }, (_, i) => {
    const source = ((i + offset) * (crop - 1)) / (enlarged - 1);
    const low = Math.min(Math.floor(source), crop - 1);
    return { low: top + low, high: top + Math.min(low + 1, crop - 1), share: source - low };
  });
  const out = new Float32Array(size * size);
  positions.forEach((row, y) =>
    positions.forEach((column, x) => {
      const along = (line: number): number =>
        field[line * size + column.low]! * (1 - column.share) + field[line * size + column.high]! * column.share;
      out[y * size + x] = along(row.low) * (1 - row.share) + along(row.high) * row.share;
    }),
  );
  return out;
}

/** Motion blur of an axis with zero padding, one matrix per severity. */
function streakTable(level: SnowLevel, taps: number, steps: number, size: number): Table {
  const data = new Float32Array((steps + 1) * size * size);
  const radius = Math.floor(taps / 2);
  for (let s = 0; s <= steps; s++) {
    const window = gaussianWindow(taps, atIndex(level.sigma, steps, s));
    for (let i = 0; i < size; i++)
      for (let j = Math.max(0, i - radius); j <= Math.min(size - 1, i + radius); j++)
        data[(s * size + i) * size + j] = window[j - i + radius]!;
  }
  return { shape: [steps + 1, size, size], data };
}

/** The snow layer of every image: [B, H, W]. */
export function snowLayer(
  field: tf.Tensor3D,
  vertical: tf.Tensor2D,
  severity: tf.Tensor1D,
  tables: { readonly threshold: tf.Tensor; readonly streak: tf.Tensor3D },
): tf.Tensor3D {
  const threshold = tf.reshape(tf.gather(tables.threshold as tf.Tensor1D, severity), [-1, 1, 1]);
  const flakes = tf.clipByValue(tf.where(tf.less(field, threshold), tf.zerosLike(field), field), 0, 1);
  const streak = tf.gather(tables.streak, severity);
  const [batch, severities] = vertical.shape;
  const firstOfRow = tf.tensor1d(
    Int32Array.from({ length: batch }, (_, row) => row * severities),
    'int32',
  );
  const direction = tf.gather(tf.reshape(vertical, [-1]), tf.add(firstOfRow, severity) as tf.Tensor1D);
  const isVertical = tf.greater(tf.reshape(direction, [-1, 1, 1]), 0.5);
  return tf.where(isVertical, tf.matMul(streak, flakes), tf.matMul(flakes, streak, false, true)) as tf.Tensor3D;
}

/**
 * 1 where the streaks are vertical, by severity (0 is not used): a random half of the images in a row, rounded down, at every severity.
 * Each image shuffles all places from the same draws, so they agree on the halves without asking each other.
 */
function dealtDirections(images: number, { place, stream }: PlaceAmong, steps: number): Float32Array {
  const vertical = new Float32Array(steps + 1);
  const places = Array.from({ length: images }, (_, i) => i);
  const half = Math.floor(images / 2);
  for (let s = 1; s <= steps; s++) {
    for (let i = 0; i < half; i++) {
      const other = i + stream.below(images - i);
      [places[i], places[other]] = [places[other]!, places[i]!];
    }
    vertical[s] = places.indexOf(place) < half ? 1 : 0;
  }
  return vertical;
}

/** Seed of the one pattern used without `randomSnow`. */
const fixedPatternSeed = 123321;

export function createSnow(config: SnowConfig, geometry: ImageGeometry): Degradation {
  const { size, channels } = geometry;
  const { steps } = config;
  const level = snowLevels[config.level];
  const together = config.patternImages ?? 1;
  const brighten = (r: tf.Tensor4D, keep: tf.Tensor4D): tf.Tensor4D => {
    const grey = channels === 3 ? tf.sum(tf.mul(r, tf.tensor1d([0.299, 0.587, 0.114])), 3, true) : r;
    const bright = tf.maximum(r, tf.add(tf.mul(grey, 1.5), 0.5));
    return tf.add(tf.mul(keep, r), tf.mul(tf.sub(1, keep), bright));
  };

  const apply: Degradation['apply'] = (x0, severity, tables, context) => {
    const layer = snowLayer(required(context, 'field'), required(context, 'vertical'), severity, {
      threshold: required(tables, 'threshold'),
      streak: required(tables, 'streak'),
    });
    const snow = tf.expandDims(tf.add(layer, tf.reverse(layer, [1, 2])), 3);
    const unit: tf.Tensor4D = tf.mul(tf.add(x0, 1), 0.5);
    const lit = config.fixBrightness ? unit : brighten(unit, scalarAt(required(tables, 'brightness'), severity));
    const snowy: tf.Tensor4D = tf.sub(tf.mul(tf.clipByValue(tf.add(lit, snow), 0, 1), 2), 1);
    return tf.where(tf.greater(tf.reshape(severity, [-1, 1, 1, 1]), 0), snowy, x0) as tf.Tensor4D;
  };

  return {
    family: 'snow',
    steps,
    geometry,
    tables: {
      threshold: severityTable(steps, (s) => atIndex(level.threshold, steps, s)),
      streak: streakTable(level, snowTaps(config.level), steps, size),
      ...(config.fixBrightness ? {} : { brightness: severityTable(steps, (s) => atIndex(level.brightness, steps, s)) }),
    },
    contextSpecs: {
      // The field after the zoom.
      field: { shape: [size, size], dtype: 'float32' },
      // 1 where the streaks are vertical, by severity.
      vertical: { shape: [steps + 1], dtype: 'float32' },
    },
    truncateStart: false,
    ...(config.singleSnow ? { dealtAmong: together } : { sharedBy: together }),
    drawContext(given, _, among): Record<string, Float32Array> {
      const place = among?.place ?? 0;
      const fixed = (row: number): RandomStream => new RandomStream(fixedPatternSeed, 'degradation', 0, 0, row);
      const stream = config.randomSnow ? given : fixed(place);
      const raw = Float32Array.from({ length: size * size }, () => level.mean + level.deviation * stream.normal());
      const field = clippedZoom(raw, size, level.zoom);
      const vertical = new Float32Array(steps + 1).fill(stream.uniform() > 0.5 ? 1 : 0);
      if (!config.singleSnow) return { field, vertical };
      if (together > 1) {
        if (among === undefined) throw new Error('snow of several images needs the place among them');
        const shared = config.randomSnow ? among.stream : new RandomStream(fixedPatternSeed, 'degradation-among');
        return { field, vertical: dealtDirections(together, { place, stream: shared }, steps) };
      }
      for (let s = 1; s <= steps; s++) vertical[s] = stream.below(2);
      return { field, vertical };
    },
    apply,
    applyInTraining: apply,
    describe: () => ({ family: 'snow', steps, summary: `Snow of level ${config.level} falls in ${steps} steps` }),
  };
}
