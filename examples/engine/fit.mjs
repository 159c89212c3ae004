// Fits y = sin(3 x) with a network in plain TensorFlow.js, on the engine alone.
import * as tf from '@tensorflow/tfjs-core';
import { fromStored, openEngine, toStored } from '@thaw/shared/engine';
import { RandomStream } from '@thaw/shared/runtime';

const batch = 64;
const hidden = 32;
const float = (...shape) => ({ shape, dtype: 'float32' });

// The network: an ordinary function. It is called once, while the engine traces it.
const network = (w, x) => tf.add(tf.matMul(tf.tanh(tf.add(tf.matMul(x, w.first), w.bias)), w.second), w.offset);
const weights = { first: float(1, hidden), bias: float(hidden), second: float(hidden, 1), offset: float(1) };

const training = {
  name: 'fit a curve',
  weights,
  inputs: { x: float(batch, 1), y: float(batch, 1) },
  fn: (w, { x, y }) => ({ loss: tf.mean(tf.square(tf.sub(network(w, x), y))) }),
  gradientOf: 'loss', // adds an output grad/<weight> for each weight
};
const reading = {
  name: 'read the curve',
  weights,
  inputs: { x: float(3, 1) },
  fn: (w, { x }) => ({ y: network(w, x) }),
};

const engine = await openEngine(); // or { kind: 'onnx-cpu', workers: 2 }: see `thaw doctor`
const { kind, reason } = engine.describe();
console.log(`engine ${kind} (${reason})`);
const step = await engine.load(training);

// Weights live in the order that the compiled program wants, on shared memory, so that its threads read them where they are.
const values = Object.fromEntries(
  step.weights.map((weight, index) => {
    const draws = new RandomStream(1, 'init', 0, index);
    const width = weight.name === 'first' ? 2 : weight.name === 'second' ? 0.3 : 0;
    const drawn = Float32Array.from({ length: weight.size }, () => width * (2 * draws.uniform() - 1));
    const shared = new Float32Array(new SharedArrayBuffer(4 * weight.size));
    shared.set(toStored(weight, drawn));
    return [weight.name, shared];
  }),
);

// Gradient descent with momentum, on flat arrays: gradients come in the stored order of their weights.
const momenta = Object.fromEntries(step.weights.map(({ name, size }) => [name, new Float32Array(size)]));
for (let k = 1; k <= 600; k++) {
  const draws = new RandomStream(2, 'augment', k);
  const x = Float32Array.from({ length: batch }, () => 2 * draws.uniform() - 1);
  const y = x.map((position) => Math.sin(3 * position));
  const outputs = await step.run({ weights: values, weightsVersion: k, inputs: { x, y } });
  for (const { name } of step.weights) {
    const [weight, momentum, gradient] = [values[name], momenta[name], outputs[`grad/${name}`]];
    for (let i = 0; i < weight.length; i++) {
      momentum[i] = 0.9 * momentum[i] + gradient[i];
      weight[i] -= 0.05 * momentum[i];
    }
  }
  if (k === 1 || k % 200 === 0) console.log(`step ${k}: loss ${outputs.loss[0].toFixed(5)}`);
}

// Weights that change no more become constants of the program, which is faster. They are handed in as the function sees them.
const fixed = Object.fromEntries(step.weights.map((weight) => [weight.name, fromStored(weight, values[weight.name])]));
const { programs, close } = await engine.openFixed([reading], fixed);
const x = Float32Array.of(-0.5, 0, 0.5);
const { y } = await programs[0].run({ weights: {}, inputs: { x } });
x.forEach((position, i) =>
  console.log(`f(${position}) = ${y[i].toFixed(3)}, sin(3 x) = ${Math.sin(3 * position).toFixed(3)}`),
);

await close();
await engine.close();
