/** One row of a job as work: where its start comes from, what is saved on the way, where its result goes. */
import { drawFromPrior, drawStartNoise } from '@thaw/shared/diffusion';
import { pixelsToUnit } from '@thaw/shared/pixels';
import { ThawError, type JobSpec } from '@thaw/shared/protocol';
import { RandomStream } from '@thaw/shared/runtime';
import { dueByMs, savedSeverities } from '../jobs/index.js';
import { rowKey } from '../keeping/index.js';
import type { ImageShape, RestorationModel, RowContext, TestImages } from '../ports.js';
import { beginTrajectory, resumeTrajectory, severityOf, type Trajectory } from '../trajectory/index.js';
import type { RowTask } from '../work/index.js';
import type { JobStore } from './job-store.js';

export interface RowTaskWorld {
  readonly jobs: JobStore;
  readonly testImages: TestImages;
  /** The result (severity 0) or a state of the row is in the store. */
  stored(severity: number): void;
  failed(error: unknown): void;
}

/**
 * The task of computing row `row` of `spec`. Its result depends on nothing but these two: the same bytes on every sampler, from the start
 * or from a saved state.
 */
export function rowTask(spec: JobSpec, row: number, world: RowTaskWorld): RowTask {
  const { jobs } = world;
  const saved = new Set(savedSeverities(spec));
  const start: { original?: Float32Array; degraded?: Float32Array; model?: RestorationModel } = {};

  const startImage = async (shape: ImageShape): Promise<Float32Array> => {
    if (spec.mode === 'restore') {
      const input = await jobs.input(spec.id);
      return input instanceof Uint8Array ? pixelsToUnit(input) : input;
    }
    if (spec.mode === 'generate') {
      const { height: size, channels } = shape;
      const { mixture, edge = 1 } = spec.start ?? {};
      if (mixture === undefined) return new Float32Array(size * size * channels);
      return drawFromPrior({ mixture, edge }, { size, channels }, new RandomStream(spec.seed, 'sampling', 0, 1, row));
    }
    const index = spec.test?.indices[row];
    if (spec.test === undefined || index === undefined)
      throw new ThawError('THAW_INTERNAL', `Job ${spec.id} does not say which test image row ${row} is.`);
    return world.testImages.image(spec.test.dataset, 'test', index, shape);
  };

  /** The image with the noise of the start, the same whenever it is asked for, added (1) or taken off (-1). */
  const withNoise = (image: Float32Array, sign: 1 | -1): Float32Array => {
    const deviation = spec.start?.noise ?? 0;
    if (deviation === 0) return image;
    const noise = drawStartNoise(deviation, image.length, new RandomStream(spec.seed, 'sampling', 0, 3, row));
    return image.map((value, i) => value + sign * noise[i]!);
  };

  return {
    key: rowKey(spec.id, row),
    version: spec.version,
    priority: 'user',
    dueByMs: dueByMs(spec),
    async prepare(model) {
      const { height, width, channels } = model.shape;
      const x0 = await startImage(model.shape);
      if (x0.length !== height * width * channels)
        throw new ThawError(
          'THAW_INTERNAL',
          `The image of row ${row} has ${x0.length} values; the model takes ${height}x${width}x${channels}.`,
        );
      const context = await model.drawContext(spec.seed, row);
      const severity = spec.degradedTo ?? spec.severities[0]!;
      const redraw =
        spec.freshNoise === true ? (s: number): RowContext => model.redrawContext!(spec.seed, row, s) : undefined;
      start.model = model;
      start.original = spec.degrade && spec.mode !== 'generate' ? x0 : undefined;
      start.degraded = withNoise(spec.degrade ? (await model.degrade([{ x0, severity, context }]))[0]! : x0, 1);
      const found = await jobs.furthestState(spec.id, row);
      const resumed = found && resume(spec, found, context, redraw);
      return resumed ?? beginTrajectory(spec.sampler, spec.severities, start.degraded, context, redraw);
    },
    onStep(before, output) {
      const severity = severityOf(before);
      if (!saved.has(severity)) return undefined;
      const images = { x: before.x, estimate: output.estimate, direct: before.direct ?? output.estimate };
      return jobs.putState(spec.id, row, severity, images, start.model!.shape).then(() => world.stored(severity));
    },
    async onFinished(trajectory) {
      const images = {
        ...(start.original === undefined ? {} : { original: start.original }),
        degraded: start.degraded!,
        direct: trajectory.direct!,
        sampled: spec.start?.removed ? withNoise(trajectory.x, -1) : trajectory.x,
      };
      await jobs.putResult(spec.id, row, images, start.model!.shape);
      world.stored(0);
    },
    onFailed: (error) => world.failed(error),
  };
}

function resume(
  spec: JobSpec,
  found: { severity: number; images: Readonly<Record<string, Float32Array>> },
  context: RowContext,
  redraw: Trajectory['redraw'],
): Trajectory | undefined {
  const { x, direct } = found.images;
  if (x === undefined || direct === undefined) return undefined;
  // At the first severity the direct restoration is what the next call gives.
  if (found.severity === spec.severities[0]) return undefined;
  return resumeTrajectory(spec.sampler, spec.severities, { severity: found.severity, x, direct }, context, redraw);
}
