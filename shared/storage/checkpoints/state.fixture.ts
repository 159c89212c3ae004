/** A small run state, a function of its seed. */
import type { ManifestFields } from './manifest.js';
import type { RunState, StateTensor } from './run-state.js';

export function smallState(step: number, seed = 1): RunState {
  const tensors: Record<string, StateTensor> = {};
  const parameters = {
    'conv.weight': [4, 3, 3, 3],
    'conv.bias': [4],
    'out.weight': [2, 4],
    'out.bias': [2],
    scale: [],
  };
  let value = seed * 1000 + step;
  for (const [name, shape] of Object.entries(parameters)) {
    const count = shape.reduce((product, size) => product * size, 1);
    const floats = (): Float32Array =>
      Float32Array.from({ length: count }, () => Math.fround((value = (value * 16807) % 2147483647) / 1e9));
    for (const group of ['weights', 'ema', 'adam.m', 'adam.v'])
      tensors[`${group}/${name}`] = { dtype: 'F32', shape, data: floats() };
    const blocks = Math.ceil(count / 256);
    tensors[`exponents/${name}`] = { dtype: 'I8', shape: [blocks], data: new Int8Array(blocks).fill(-7) };
  }
  return {
    step,
    epoch: 2,
    stepOfEpoch: step % 10,
    beta1Product: 0.9 ** 3,
    beta2Product: 0.1 + 0.2,
    historyDigest: 'ab'.repeat(32),
    skippedInARow: 3,
    tensors,
  };
}

export const fields: Omit<ManifestFields, 'step'> = {
  run: 'trial',
  parent: null,
  configSha256: 'c'.repeat(64),
  dataset: { name: 'mnist', sha256: 'd'.repeat(64) },
  fingerprint: 'onnx-cpu 1.30.0 x64',
  createdMs: 1_700_000_000_000,
  metrics: { loss: 0.25 },
};
