/** One row of a block of an evaluation as work: an image of a split, degraded and restored, with all that an evaluation looks at. */
import { ThawError, type JobSpec } from '@thaw/shared/protocol';
import { encodeEstimate, EstimateRecorder } from '../evaluation/index.js';
import { otherBits } from '../jobs/index.js';
import { rowKey } from '../keeping/index.js';
import { beginTrajectory } from '../trajectory/index.js';
import type { RestorationModel } from '../ports.js';
import type { RowTask } from '../work/index.js';
import type { RowTaskWorld } from './row-task.js';

/**
 * The task of computing row `row` of `spec`. Its file depends on nothing but these two and the fingerprint that `spec` names. Nothing is
 * saved on the way: a row that is lost begins again.
 * @param sampler own name, for refusals
 */
export function estimateTask(spec: JobSpec, row: number, sampler: string, world: RowTaskWorld): RowTask {
  const { evaluation } = spec;
  const image = (evaluation?.first ?? 0) + row;
  let model: RestorationModel;
  let recorder: EstimateRecorder;
  return {
    key: rowKey(spec.id, row),
    version: spec.version,
    priority: 'evaluation',
    dueByMs: 0,
    async prepare(loaded) {
      if (evaluation === undefined)
        throw new ThawError('THAW_INTERNAL', `Job ${spec.id} does not say what it evaluates.`);
      model = loaded;
      const { sha256 } = await model.fingerprint();
      if (sha256 !== evaluation.fingerprint) throw otherBits(sampler, sha256, evaluation.fingerprint);
      const { dataset, split } = evaluation;
      const original = await world.testImages.image(dataset, split, image, model.shape);
      const context = await model.drawContext(spec.seed, image);
      const [degraded] = await model.degrade([{ x0: original, severity: model.steps, context }]);
      recorder = new EstimateRecorder(original, degraded!);
      return beginTrajectory(spec.sampler, spec.severities, degraded!, context);
    },
    onStep(before, output) {
      recorder.called(before, output);
      return undefined;
    },
    async onFinished(trajectory) {
      const bytes = encodeEstimate(recorder.estimate(trajectory), image, model.shape);
      await world.jobs.putResultBytes(spec.id, row, bytes);
      world.stored(0);
    },
    onFailed: (error) => world.failed(error),
  };
}
