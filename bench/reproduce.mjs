// The paper's pattern on the test images of trained runs: degraded, direct, Algorithm 2 and Algorithm 1, quality by network calls,
// generation by blur with and without broken symmetry. Runs are trained first (thaw train examples/reproduction/..., docs/experiments.md).
// npm run bench -- reproduce --dir D [--runs a,b] [--images 1000] [--curve-images 500] [--generate 128] [--features mnist-35] [--pictures F] [--json]
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { openEngine } from '@thaw/shared/engine';
import { evaluate, officialConvention, openClassifierFeatures, plainConvention } from '@thaw/shared/evaluation';
import { createLogger } from '@thaw/shared/runtime';
import { loadRun, newestCheckpoint, openStore } from '@thaw/shared/storage';
import { CheckpointModels, datasetImages, localEstimates } from '@thaw/sampler';
import { createImageCodec } from '../services/sampler/dist/io/image-codec.js';
import { contactSheet } from '../services/sampler/dist/evaluation/grid.js';
import { brightnessBySeverity } from './reproduce/brightness.mjs';
import { callsOf, remembered } from './reproduce/estimates.mjs';
import { generateByBlur } from './reproduce/generation.mjs';
import { lossWindows } from './reproduce/losses.mjs';
import { keep, machine, numberOption, wantsJson } from './results.mjs';

const option = (name, fallback) => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? fallback : process.argv[at + 1];
};
const dir = option('dir', '.thaw');
const names = option('runs', 'reproduction-blur,reproduction-mask,reproduction-super-resolution').split(',');
const images = numberOption('images', 1000);
const curveImages = numberOption('curve-images', 500);
const generated = numberOption('generate', 128);
const featuresOf = option('features', undefined);
const pictures = option('pictures', undefined);
const pictured = 8;
const seed = 0;
const batch = 32;

const before = machine();
const storeUrl = pathToFileURL(join(resolve(dir), 'store')).href;
const store = await openStore(storeUrl);
const engine = await openEngine({ kind: 'onnx-cpu', workers: 1 });
const models = new CheckpointModels({
  store,
  engine,
  batchSizes: [batch],
  keepVersions: 1,
  logger: createLogger({ service: 'bench', level: 'error' }),
});
const say = (line) => process.stderr.write(`${line}\n`);
const codec = createImageCodec({ maxPixels: 1 << 24 });
async function picture(name, rows, shape) {
  if (pictures === undefined) return;
  mkdirSync(pictures, { recursive: true });
  writeFileSync(join(pictures, `${name}.png`), await codec.encodePng(contactSheet(rows, shape), 2));
}

async function reproduce(run) {
  const { config } = await loadRun(store, run);
  const step = (await newestCheckpoint(store, run))?.manifest.step;
  if (step === undefined) throw new Error(`The run ${run} has no checkpoint.`);
  const dataset = featuresOf ?? config.data.dataset;
  const shape = { height: config.data.size, width: config.data.size, channels: config.data.channels };
  const features = await openClassifierFeatures(store, engine, dataset, shape);
  const { family } = config.degradation;
  const open = async (sampler, calls) =>
    remembered(await localEstimates(models, datasetImages(store), { run, step, split: 'test', sampler, calls, seed }));
  const score = async (source, convention, count) => {
    const request = { count, metrics: ['rmse', 'ssim', 'frechet'], convention, features, seed, pictured };
    return evaluate(source, request);
  };
  const steps = (await models.load(await models.versionOf(run, step))).steps;
  const full = await open('algorithm2', undefined);
  const official = officialConvention(family, steps);
  const main = await score(full, official, images);
  say(`${run}: Algorithm 2 on ${images} images`);
  const plain = await score(full, plainConvention, images);
  const { scores, sampledMinusDirect, features: network } = main.report;
  const curve = [];
  const sheets = {};
  const brightness = {};
  for (const sampler of ['algorithm2', 'algorithm1'])
    for (const calls of callsOf(steps)) {
      const source = sampler === 'algorithm2' && calls === steps ? full : await open(sampler, calls);
      // One convention for all numbers of calls: with one call there is no x_{T-1}.
      const { report, pictures: shown } = await score(source, plainConvention, curveImages);
      const ofSampled = Object.fromEntries(
        Object.entries(report.scores).map(([metric, rows]) => [metric, rows.sampled]),
      );
      const ofDirect = Object.fromEntries(Object.entries(report.scores).map(([metric, rows]) => [metric, rows.direct]));
      curve.push({
        sampler,
        calls,
        sampled: ofSampled,
        direct: ofDirect,
        sampledMinusDirect: report.sampledMinusDirect,
      });
      if (calls === steps) sheets[sampler] = shown;
      if (calls === steps)
        brightness[sampler] = await brightnessBySeverity(store, models, { run, step, sampler, seed });
      say(`${run}: ${sampler}, ${calls} calls`);
    }
  await picture(
    run,
    [
      ...['original', 'degraded', 'direct', 'sampled'].map((row) => sheets.algorithm2.map((image) => image[row])),
      sheets.algorithm1.map((image) => image.sampled),
    ],
    shape,
  );
  return {
    ...{ run, step, family, steps, features: network },
    losses: await lossWindows(store, run),
    official: { images, convention: official, scores, sampledMinusDirect },
    plain: { images, scores: plain.report.scores, sampledMinusDirect: plain.report.sampledMinusDirect },
    errorsBySeverity: plain.report.curve,
    calls: { images: curveImages, points: curve },
    brightness,
    ...(family !== 'blur' || generated === 0
      ? {}
      : {
          generation: await generateByBlur({
            store,
            storeUrl,
            models,
            run,
            step,
            config,
            features,
            count: generated,
            seed,
            picture,
          }),
        }),
  };
}

const runs = [];
let entry;
for (const run of names) {
  runs.push(await reproduce(run));
  entry = keep('reproduce', before, { runs });
}
await models.close();
await engine.close();
if (wantsJson()) console.log(JSON.stringify(entry));
else
  for (const { run, step, official } of entry.runs) {
    console.log(`\n${run}, step ${step}, ${official.images} test images`);
    console.table(
      Object.fromEntries(
        ['degraded', 'direct', 'sampled'].map((row) => [
          row,
          Object.fromEntries(Object.entries(official.scores).map(([metric, rows]) => [metric, rows[row].value])),
        ]),
      ),
    );
  }
