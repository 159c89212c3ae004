// Generation by blur: the same draws from the prior, with and without noise on the start ("broken" and "perfect symmetry").
import { datasetImages } from '@thaw/sampler';
import { drawFromPrior, drawStartNoise } from '@thaw/shared/diffusion';
import { featureStatistics, frechetDistance } from '@thaw/shared/evaluation';
import { RandomStream } from '@thaw/shared/runtime';
import { fitPrior } from '../../cli/dist/commands/fit-prior.js';
import { advance, beginTrajectory, isFinished, stepRow } from '../../services/sampler/dist/trajectory/index.js';

const noises = [0, 0.0005, 0.002, 0.008];

export async function generateByBlur({ store, storeUrl, models, run, step, config, features, count, seed, picture }) {
  // One pixel: the starts are colours, all that perfect symmetry leaves.
  const prior = await fitPrior({ storeUrl, run, clusters: 1, seed, edge: 1 });
  const model = await models.load(await models.versionOf(run, step));
  const { shape } = model;
  const { data } = config;
  const test = datasetImages(store);
  const reference = await featuresOf(
    await Promise.all(Array.from({ length: 1000 }, (_, i) => test.image(data.dataset, 'test', i, shape))),
  );
  async function featuresOf(images) {
    const rows = [];
    for (let at = 0; at < images.length; at += 50) {
      const values = await features.extract(images.slice(at, at + 50), shape);
      for (let i = 0; i < values.length; i += features.dimensions) rows.push(values.slice(i, i + features.dimensions));
    }
    return rows;
  }
  const results = [];
  const sheet = [];
  for (const noise of noises) {
    const images = [];
    for (let first = 0; first < count; first += model.batchSizes.at(-1)) {
      const rows = Array.from({ length: Math.min(model.batchSizes.at(-1), count - first) }, (_, i) => first + i);
      let trajectories = rows.map((row) => {
        const start = drawFromPrior(
          prior,
          { size: data.size, channels: data.channels },
          new RandomStream(seed, 'sampling', row, 0),
        );
        const added = drawStartNoise(noise, start.length, new RandomStream(seed, 'sampling', row, 1));
        const x = start.map((value, i) => value + added[i]);
        const severities = Array.from({ length: model.steps }, (_, k) => model.steps - k);
        return beginTrajectory('algorithm2', severities, x, {});
      });
      while (!isFinished(trajectories[0])) {
        const outputs = await model.step(trajectories.map(stepRow));
        trajectories = trajectories.map((trajectory, i) => advance(trajectory, outputs[i]));
      }
      images.push(...trajectories.map(({ x }) => x));
    }
    const rows = await featuresOf(images);
    results.push({
      noise,
      images: count,
      deviationAcrossImages: deviationAcross(images) / 2,
      deviationWithinImage: deviationWithin(images) / 2,
      meanFeatureDistance: meanDistance(rows),
      frechetToTest: frechetDistance(statistics(rows, features.dimensions), statistics(reference, features.dimensions)),
    });
    sheet.push(images.slice(0, 8));
  }
  await picture(`${run}-generated`, sheet, shape);
  const half = reference.length / 2;
  return {
    prior: {
      severity: prior.severity,
      edge: prior.edge,
      mean: prior.mixture.means[0],
      variance: prior.mixture.covariances[0][0],
    },
    results,
    testImages: { images: half, meanFeatureDistance: meanDistance(reference.slice(0, half)) },
  };
}

const statistics = (rows, dimensions) =>
  featureStatistics(
    rows.flatMap((row) => [...row]),
    dimensions,
  );

/** Root of the mean variance of a pixel across the images. */
function deviationAcross(images) {
  let sum = 0;
  for (let p = 0; p < images[0].length; p++) sum += variance(images.map((image) => image[p]));
  return Math.sqrt(sum / images[0].length);
}
const deviationWithin = (images) =>
  Math.sqrt(images.reduce((sum, image) => sum + variance([...image]), 0) / images.length);

function variance(values) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
}

/** Mean distance of two images in the classifier's features. */
function meanDistance(rows) {
  let sum = 0;
  let pairs = 0;
  for (let i = 0; i < rows.length; i++)
    for (let j = 0; j < i; j++, pairs++)
      sum += Math.sqrt(rows[i].reduce((s, value, k) => s + (value - rows[j][k]) ** 2, 0));
  return sum / pairs;
}
