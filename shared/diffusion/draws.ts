/** The random choices of training: pure functions of (seed, step, lane, row), so that any trainer draws the same. */
import { drawDropout } from '../model/index.js';
import type { RunConfig } from '../protocol/index.js';
import { RandomStream } from '../runtime/index.js';
import type { Degradation } from './degradation.js';
import { pixelsToUnit } from './pixels.js';
import { contextInputs, dropoutInputs } from './programs.js';

/**
 * Inputs of the training program for one lane of one step, but for the tables: `x0`, `severity`, `context/<name>`, `dropout/<block>`.
 * @param images uint8 [micro, size, size, channels], augmented already
 */
export function trainingInputs(
  run: RunConfig,
  degradation: Degradation,
  step: number,
  lane: number,
  images: Uint8Array,
): Record<string, Float32Array | Int32Array> {
  const { size, channels } = run.data;
  const rows = images.length / (size * size * channels);
  const x0 = pixelsToUnit(images);
  const severity = new Int32Array(rows);
  const contexts: Record<string, Float32Array>[] = [];
  const masks: Record<string, Float32Array>[] = [];
  for (let row = 0; row < rows; row++) {
    severity[row] = 1 + new RandomStream(run.seed, 'severity', step, lane, row).below(degradation.steps);
    contexts.push(degradation.drawContext(new RandomStream(run.seed, 'degradation', step, lane, row)));
    masks.push(drawDropout(run.network, size, new RandomStream(run.seed, 'dropout', step, lane, row)));
  }
  return { x0, severity, ...contextInputs(degradation, contexts), ...dropoutInputs(masks) };
}
