/** The random choices of training: pure functions of (seed, step, lane, row), so that any trainer draws the same. */
import { drawDropout } from '../model/index.js';
import type { RunConfig } from '../protocol/index.js';
import { RandomStream } from '../runtime/index.js';
import { contextAt } from './degradation.js';
import type { Degradation } from './degradation.js';
import { targetShapes } from './loss.js';
import { pixelsToUnit } from '@thaw/shared/pixels';
import { contextInputs, dropoutInputs, targetInputs } from './programs.js';

/** uint8 [micro, size, size, channels], augmented already. */
export interface TrainingImages {
  readonly images: Uint8Array;
  /** The pictures that the images are mixed with, one per row; for degradations with partners. */
  readonly partners?: Uint8Array;
}

/** The images of a step stand in one order, lane after lane. */
function contextOf(
  { seed, batch: { micro } }: RunConfig,
  degradation: Degradation,
  step: number,
  position: number,
  partner?: Float32Array,
): Record<string, Float32Array> {
  return contextAt(
    degradation,
    position,
    (at, purpose) => new RandomStream(seed, purpose, step, Math.floor(at / micro), at % micro),
    partner,
  );
}

/** Standard normal draws that the routine wants for one image. */
function drawTarget({ trainRoutine, data }: RunConfig, stream: RandomStream): Record<string, Float32Array> {
  const shapes = Object.entries(targetShapes(trainRoutine, data));
  return Object.fromEntries(
    shapes.map(([name, shape]) => {
      const length = shape.reduce((product, extent) => product * extent, 1);
      return [name, Float32Array.from({ length }, () => stream.normal())];
    }),
  );
}

/**
 * Inputs of the training program for one lane of one step, but for the tables: `x0`, `severity`, `context/<name>`, `dropout/<block>`,
 * `target/<name>`.
 */
export function trainingInputs(
  run: RunConfig,
  degradation: Degradation,
  step: number,
  lane: number,
  { images, partners }: TrainingImages,
): Record<string, Float32Array | Int32Array> {
  const { size, channels } = run.data;
  const pixels = size * size * channels;
  const rows = images.length / pixels;
  const x0 = pixelsToUnit(images);
  const pictures = partners && pixelsToUnit(partners);
  const severity = new Int32Array(rows);
  const contexts: Record<string, Float32Array>[] = [];
  const masks: Record<string, Float32Array>[] = [];
  const targets: Record<string, Float32Array>[] = [];
  for (let row = 0; row < rows; row++) {
    severity[row] = 1 + new RandomStream(run.seed, 'severity', step, lane, row).below(degradation.steps);
    const partner = pictures?.subarray(row * pixels, (row + 1) * pixels);
    contexts.push(contextOf(run, degradation, step, lane * run.batch.micro + row, partner));
    masks.push(drawDropout(run.network, size, new RandomStream(run.seed, 'dropout', step, lane, row)));
    targets.push(drawTarget(run, new RandomStream(run.seed, 'target', step, lane, row)));
  }
  return { x0, severity, ...contextInputs(degradation, contexts), ...dropoutInputs(masks), ...targetInputs(targets) };
}
