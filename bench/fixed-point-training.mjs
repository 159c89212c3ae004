// Two ways to train one run in one process: as trainers do it (the trainer's own machine, gradients as integers), and with gradients
// summed in fp32. Same engine, samples, draws and optimizer. Used by bench/fixed-point.mjs and test/properties/fixed-point.test.ts.
import { augmentBytes, leasesFor, LeasedShards, loadManifest } from '@thaw/shared/data';
import { degradationOf, tableInputs, trainingInputs, trainingProgram } from '@thaw/shared/diffusion';
import { openEngine, toStored } from '@thaw/shared/engine';
import { initialWeights } from '@thaw/shared/model';
import { deriveTimings, laneCount } from '@thaw/shared/protocol';
import { adamRange, adamUpdateOf, createLayout, emptyArrays, initialState, Trainer } from '@thaw/trainer';

const id = 'alone-0';

/** Makes a run ready to be trained both ways: its compiled training step, its samples from `store`, its initial weights. */
export async function openTraining(run, store, { workers = 1 } = {}) {
  const engine = await openEngine({ kind: 'onnx-cpu', workers });
  const degradation = degradationOf(run);
  const program = await engine.load(trainingProgram(run, run.batch.micro, degradation));
  const tables = tableInputs(degradation);
  const lanes = laneCount(run);
  const layout = createLayout(program.weights, lanes);
  const manifest = await loadManifest(store, run.data.dataset);
  const order = { seed: run.seed, laneCount: lanes, microBatch: run.batch.micro };
  const shards = new LeasedShards({ store, manifest, seed: run.seed, microBatch: run.batch.micro });
  const all = Array.from({ length: lanes }, (_, lane) => lane);
  shards.grant(1, leasesFor({ manifest, order, lanes: all, fromStep: 0, generation: 1, epochsAhead: 20 }));
  let version = 0;
  return {
    run,
    lanes,
    layout,
    initialWeights() {
      const byName = initialWeights(run.network, run.data, run.seed);
      const flat = new Float32Array(layout.valueCount);
      layout.tensors.forEach(({ name, offset }, i) => flat.set(toStored(program.weights[i], byName[name]), offset));
      return flat;
    },
    /** A number that names the present weights for `compute`. */
    nextVersion: () => ++version,
    /** Mean loss and flat gradient of one lane at one step. */
    async compute(step, lane, weights, weightsVersion) {
      const { images, imageShape } = await shards.read(lane, step);
      const { size, flip } = run.data;
      const cut = augmentBytes({ images, shape: imageShape, size, flip, seed: run.seed, step, lane });
      const views = Object.fromEntries(
        layout.tensors.map(({ name, offset, size: count }) => [name, weights.subarray(offset, offset + count)]),
      );
      const inputs = { ...trainingInputs(run, degradation, step, lane, { images: cut }), ...tables };
      const outputs = await program.run({ weights: views, inputs, weightsVersion });
      const gradient = new Float32Array(layout.valueCount);
      for (const { name, offset } of layout.tensors) gradient.set(outputs[`grad/${name}`], offset);
      return { loss: outputs.loss[0], gradient };
    },
    async close() {
      await shards.close();
      await engine.close();
    },
  };
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Trains with the trainer's machine as the only member of its plan. Returns the mean loss of every step and the weights. */
export async function trainInFixedPoint(training, steps) {
  const { run, lanes, layout } = training;
  const arrays = emptyArrays(layout);
  const machine = new Trainer({
    run: run.name,
    id,
    fingerprint: 'f',
    layout,
    laneCount: lanes,
    steps,
    optimizer: run.optimizer,
    ema: run.ema,
    maxSkippedSteps: run.maxSkippedSteps,
    checkpointEverySteps: steps + 1,
    timings: deriveTimings(500),
    arrays,
  });
  const plan = {
    format: 'thaw.plan/1',
    run: run.name,
    fingerprint: 'f',
    leader: { id: 'leader-0', epoch: 1, renewal: 0, released: false },
    generation: 1,
    laneCount: lanes,
    members: [{ id, lanes: Array.from({ length: lanes }, (_, lane) => lane) }],
  };
  const losses = [];
  let nowMs = 0;
  let finished = false;
  let asked = [];
  const handle = (event) => {
    for (const effect of machine.handle(event, nowMs)) {
      if (effect.kind === 'computeLane') asked.push(effect);
      if (effect.kind === 'stepApplied') losses.push(mean(effect.result.laneLosses));
      if (effect.kind === 'finished' || effect.kind === 'halted') finished = true;
      if (effect.kind === 'alarm') throw new Error(`${effect.code}: ${effect.message}`);
      if (effect.kind === 'loadState')
        queueMicrotask(() =>
          handle({
            kind: 'stateLoaded',
            state: initialState(run.name, training.initialWeights(), layout.blockCount),
          }),
        );
    }
  };
  handle({ kind: 'start' });
  handle({
    kind: 'announcement',
    announcement: { plan, checkpoint: { committedStep: null, abandonedStep: null } },
  });
  while (!finished) {
    const lanesNow = asked;
    asked = [];
    if (lanesNow.length === 0) {
      // Nobody offers a snapshot: time passes until the machine loads the initial state.
      nowMs += 100;
      handle({ kind: 'tick' });
      await Promise.resolve();
      continue;
    }
    const version = training.nextVersion();
    const results = await Promise.all(
      lanesNow.map(({ step, lane }) => training.compute(step, lane, arrays.weights, version)),
    );
    results.forEach((result, i) =>
      handle({ kind: 'laneDone', step: lanesNow[i].step, lane: lanesNow[i].lane, computeMs: 1, ...result }),
    );
  }
  return { losses, weights: arrays.weights };
}

/**
 * Trains with the mean gradient of the lanes in fp32, added in lane order, or from the last lane to the first: the same training but for the
 * rounding of its sums.
 * @param {{ fromLastLane?: boolean }} [order]
 */
export async function trainInFp32(training, steps, { fromLastLane = false } = {}) {
  const { run, lanes, layout } = training;
  const weights = training.initialWeights();
  const arrays = {
    weights,
    firstMoment: new Float32Array(weights.length),
    secondMoment: new Float32Array(weights.length),
  };
  const losses = [];
  let beta1Product = 1;
  let beta2Product = 1;
  for (let step = 0; step < steps; step++) {
    const version = training.nextVersion();
    const results = await Promise.all(
      Array.from({ length: lanes }, (_, lane) => training.compute(step, lane, weights, version)),
    );
    const gradient = new Float32Array(layout.valueCount);
    const inOrder = fromLastLane ? results.toReversed() : results;
    for (const result of inOrder) for (let i = 0; i < gradient.length; i++) gradient[i] += result.gradient[i];
    for (let i = 0; i < gradient.length; i++) gradient[i] /= lanes;
    beta1Product *= run.optimizer.beta1;
    beta2Product *= run.optimizer.beta2;
    adamRange(arrays, 0, gradient.length, gradient, 0, adamUpdateOf(run.optimizer, step, beta1Product, beta2Product));
    losses.push(mean(results.map(({ loss }) => loss)));
  }
  return { losses, weights };
}

/**
 * Loss curves as means over windows of steps, and whether the two ways differ by less than the seeds do.
 * @param curves one pair of curves a seed, with the control (fp32 in another order of its sums) where there is one
 * @returns per window: the means, the spread of the fp32 curves over the seeds, the largest difference between the ways for one seed, the
 *   root mean squares over the seeds of that difference and of the control's from fp32, and how many curves in fixed point (of the
 *   control) lie between the lowest and the highest fp32 curve
 */
export function compareCurves(curves, windowSteps) {
  const windows = [];
  const { length } = curves[0].fp32;
  for (let from = 0; from + windowSteps <= length; from += windowSteps) {
    const of = (losses) => mean(losses.slice(from, from + windowSteps));
    const fp32 = curves.map((curve) => of(curve.fp32));
    const differences = (ways) => ways.map((value, i) => value - fp32[i]);
    const inside = (ways) => ways.filter((value) => Math.min(...fp32) <= value && value <= Math.max(...fp32)).length;
    const rootMeanSquare = (values) => Math.sqrt(mean(values.map((value) => value * value)));
    const fixedPoint = curves.map((curve) => of(curve.fixedPoint));
    const control = curves.every((curve) => curve.fp32FromLastLane !== undefined)
      ? curves.map((curve) => of(curve.fp32FromLastLane))
      : undefined;
    windows.push({
      fromStep: from + 1,
      throughStep: from + windowSteps,
      fp32,
      fixedPoint,
      inside: inside(fixedPoint),
      ...(control && { control, controlRms: rootMeanSquare(differences(control)), insideOfControl: inside(control) }),
      spread: Math.max(...fp32) - Math.min(...fp32),
      difference: Math.max(...differences(fixedPoint).map(Math.abs)),
      differenceRms: rootMeanSquare(differences(fixedPoint)),
      meanDifference: mean(differences(fixedPoint)),
    });
  }
  return windows;
}

/**
 * Whether the curves in fixed point are within the spread of the seeds: they lie between the lowest and the highest of the n fp32 curves at
 * least as often as one more fp32 seed would, which is (n - 1) / (n + 1) of the times.
 * @returns {{ within: boolean, inside: number, insideOfControl: number | undefined, expected: number, of: number }}
 */
export function withinSpread(windows) {
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  const n = windows[0].fp32.length;
  const of = n * windows.length;
  const expected = (of * (n - 1)) / (n + 1);
  const inside = sum(windows.map((window) => window.inside));
  const counts = windows.map((window) => window.insideOfControl);
  const insideOfControl = counts.includes(undefined) ? undefined : sum(counts);
  return { within: inside >= expected, inside, insideOfControl, expected, of };
}
