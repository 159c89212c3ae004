/** Trains the classifier of features: Adam on the labels of a data set, deterministic by seed. */
import { fromStored, toStored, type Compiled, type Engine } from '@thaw/shared/engine';
import { drawWeights, toOfficial } from '@thaw/shared/model';
import { ThawError } from '@thaw/shared/protocol';
import { permutation, RandomStream } from '@thaw/shared/runtime';
import {
  classifierForward,
  classifierParameters,
  classifierTraining,
  type ClassifierShape,
} from './classifier-network.js';

/** Images with their classes. */
export interface LabelledImages {
  readonly count: number;
  /** 0 .. classes - 1, [count]. */
  readonly labels: Int32Array;
  /** Float32 [images, H, W, C] in [-1, 1] of these numbers; a new array. */
  batch(images: Uint32Array): Float32Array;
}

export interface ClassifierTrainingOptions {
  readonly engine: Engine;
  readonly shape: ClassifierShape;
  readonly train: LabelledImages;
  readonly heldOut: LabelledImages;
  readonly epochs: number;
  readonly seed: number;
  /** Optimizer steps done and to do. */
  readonly onProgress?: (done: number, total: number, loss: number) => void;
}

export interface TrainedClassifier {
  /** By name, PyTorch's layout. */
  readonly weights: Readonly<Record<string, Float32Array>>;
  /** Share of the held-out images whose class is found. */
  readonly accuracy: number;
}

const batchSize = 64;
const adam = { learningRate: 0.002, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };

/** @throws ThawError THAW_DATA_INVALID with fewer images than a batch */
export async function trainClassifier(options: ClassifierTrainingOptions): Promise<TrainedClassifier> {
  const { engine, shape, train, epochs, seed, onProgress = () => undefined } = options;
  if (train.count < batchSize)
    throw new ThawError(
      'THAW_DATA_INVALID',
      `A classifier needs ${batchSize} labelled images, there are ${train.count}.`,
    );
  const step = await engine.load(classifierTraining(shape, batchSize));
  try {
    const weights = storedWeights(step, drawWeights(classifierParameters(shape), seed));
    const optimizer = new Adam(weights);
    const stepsPerEpoch = Math.floor(train.count / batchSize);
    for (let epoch = 0; epoch < epochs; epoch++) {
      const order = permutation(train.count, new RandomStream(seed, 'features', epoch));
      for (let k = 0; k < stepsPerEpoch; k++) {
        const rows = order.subarray(k * batchSize, (k + 1) * batchSize);
        const done = epoch * stepsPerEpoch + k;
        const outputs = await step.run({
          weights,
          weightsVersion: done,
          inputs: { images: train.batch(rows), labels: Int32Array.from(rows, (row) => train.labels[row]!) },
        });
        optimizer.apply(outputs, done / (epochs * stepsPerEpoch));
        onProgress(done + 1, epochs * stepsPerEpoch, outputs['loss']![0]!);
      }
    }
    const official = officialWeights(step, weights, shape);
    return { weights: official, accuracy: await accuracyOf(options, weights, step) };
  } finally {
    await step.dispose();
  }
}

/** Adam (Kingma and Ba, arXiv 1412.6980) in place, with a learning rate that falls linearly to a twentieth. */
class Adam {
  readonly #weights: Record<string, Float32Array>;
  readonly #moments: Record<string, { first: Float32Array; second: Float32Array }>;
  #product1 = 1;
  #product2 = 1;

  constructor(weights: Record<string, Float32Array>) {
    this.#weights = weights;
    this.#moments = Object.fromEntries(
      Object.entries(weights).map(([name, { length }]) => [
        name,
        { first: new Float32Array(length), second: new Float32Array(length) },
      ]),
    );
  }

  /** @param share of the training that is done */
  apply(outputs: Readonly<Record<string, ArrayLike<number>>>, share: number): void {
    const { learningRate, beta1, beta2, epsilon } = adam;
    this.#product1 *= beta1;
    this.#product2 *= beta2;
    const rate = (learningRate * (1 - 0.95 * share)) / (1 - this.#product1);
    for (const [name, weight] of Object.entries(this.#weights)) {
      const gradient = outputs[`grad/${name}`]!;
      const { first, second } = this.#moments[name]!;
      for (let i = 0; i < weight.length; i++) {
        const g = gradient[i]!;
        first[i] = beta1 * first[i]! + (1 - beta1) * g;
        second[i] = beta2 * second[i]! + (1 - beta2) * g * g;
        weight[i]! -= (rate * first[i]!) / (Math.sqrt(second[i]! / (1 - this.#product2)) + epsilon);
      }
    }
  }
}

/** Model layout to stored order, on memory that the engine's workers read in place. */
export function storedWeights(
  { weights }: Pick<Compiled, 'weights'>,
  model: Readonly<Record<string, Float32Array>>,
): Record<string, Float32Array> {
  return Object.fromEntries(
    weights.map((spec) => {
      const values = toStored(spec, model[spec.name]!);
      const shared = new Float32Array(new SharedArrayBuffer(values.byteLength));
      shared.set(values);
      return [spec.name, shared];
    }),
  );
}

function modelWeights({ weights }: Compiled, stored: Record<string, Float32Array>): Record<string, Float32Array> {
  return Object.fromEntries(weights.map((spec) => [spec.name, fromStored(spec, stored[spec.name]!)]));
}

function officialWeights(
  compiled: Compiled,
  stored: Record<string, Float32Array>,
  shape: ClassifierShape,
): Record<string, Float32Array> {
  const model = modelWeights(compiled, stored);
  return Object.fromEntries(
    Object.entries(classifierParameters(shape)).map(([name, spec]) => [name, toOfficial(spec, model[name]!)]),
  );
}

async function accuracyOf(
  { engine, shape, heldOut }: ClassifierTrainingOptions,
  trained: Record<string, Float32Array>,
  training: Compiled,
): Promise<number> {
  const forward = await engine.load(classifierForward(shape, batchSize));
  try {
    const weights = storedWeights(forward, modelWeights(training, trained));
    let right = 0;
    for (let first = 0; first < heldOut.count; first += batchSize) {
      // The last batch is filled with its last image, which counts once.
      const rows = Uint32Array.from({ length: batchSize }, (_, i) => Math.min(heldOut.count - 1, first + i));
      const { logits } = await forward.run({ weights, weightsVersion: 0, inputs: { images: heldOut.batch(rows) } });
      for (let i = 0; i < Math.min(batchSize, heldOut.count - first); i++) {
        const scores = logits!.subarray(i * shape.classes, (i + 1) * shape.classes);
        let best = 0;
        scores.forEach((score, c) => score > scores[best]! && (best = c));
        if (best === heldOut.labels[first + i]) right++;
      }
    }
    return right / heldOut.count;
  } finally {
    await forward.dispose();
  }
}
