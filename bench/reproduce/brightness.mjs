// How bright states and estimates are on the way: what a sampler keeps of the image's mean, and what it loses.
import { datasetImages } from '@thaw/sampler';
import {
  advance,
  beginTrajectory,
  isFinished,
  severityOf,
  stepRow,
} from '../../services/sampler/dist/trajectory/index.js';

/** Means of 32 test images on [0, 1]: of the originals, and at every severity of the states x_s and the estimates R(x_s, s - 1). */
export async function brightnessBySeverity(store, models, { run, step, sampler, seed }) {
  const model = await models.load(await models.versionOf(run, step));
  const test = datasetImages(store);
  const rows = Array.from({ length: model.batchSizes.at(-1) }, (_, i) => i);
  const originals = await Promise.all(rows.map((row) => test.image(model.dataset, 'test', row, model.shape)));
  const contexts = await Promise.all(rows.map((row) => model.drawContext(seed, row)));
  const degraded = await model.degrade(originals.map((x0, i) => ({ x0, severity: model.steps, context: contexts[i] })));
  const severities = Array.from({ length: model.steps }, (_, k) => model.steps - k);
  let trajectories = degraded.map((start, i) => beginTrajectory(sampler, severities, start, contexts[i]));
  const points = [];
  while (!isFinished(trajectories[0])) {
    const outputs = await model.step(trajectories.map(stepRow));
    points.push({
      severity: severityOf(trajectories[0]),
      state: mean(trajectories.map(({ x }) => x)),
      estimate: mean(outputs.map(({ estimate }) => estimate)),
    });
    trajectories = trajectories.map((trajectory, i) => advance(trajectory, outputs[i]));
  }
  return { images: rows.length, original: mean(originals), points, end: mean(trajectories.map(({ x }) => x)) };
}

function mean(images) {
  let sum = 0;
  for (const image of images) for (const value of image) sum += (value + 1) / 2;
  return sum / (images.length * images[0].length);
}
