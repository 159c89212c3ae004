import { afterAll, beforeAll, expect, it } from 'vitest';
import { toStored } from '@thaw/shared/engine';
import { initialWeights } from '@thaw/shared/model';
import { RunConfigSchema } from '@thaw/shared/protocol';
import { LaneEngine } from './lane-engine.js';

const run = RunConfigSchema.parse({
  format: 'thaw.run/1',
  name: 'dropping',
  seed: 1,
  data: { dataset: 'none', size: 8, channels: 3 },
  degradation: { family: 'noise', steps: 4 },
  network: { kind: 'ddpm-unet', dim: 32, mults: [1, 1], blocks: 1, attentionSizes: [4], dropout: 0.5 },
  optimizer: { learningRate: 1e-3 },
  batch: { global: 4, micro: 2 },
  steps: 10,
});
const images = Uint8Array.from({ length: 2 * 8 * 8 * 3 }, (_, i) => (i * 37) % 256);
const signal = new AbortController().signal;

let engine: LaneEngine;
let weights: Record<string, Float32Array>;
beforeAll(async () => {
  engine = await LaneEngine.open(run, 'onnx-cpu', 1);
  const initial = initialWeights(run.network, run.data, run.seed);
  weights = Object.fromEntries(engine.weights.map((weight) => [weight.name, toStored(weight, initial[weight.name]!)]));
}, 60_000);
afterAll(() => engine.close());

it('a lane of a network with dropout gives the same bits on every trainer, and others at another step', async () => {
  const other = await LaneEngine.open(run, 'onnx-cpu', 1);
  const [first, again] = [
    await engine.compute(3, 1, { images }, weights, signal),
    await other.compute(3, 1, { images }, weights, signal),
  ];
  await other.close();
  expect(again).toEqual(first);
  expect(Number.isFinite(first.loss)).toBe(true);
  expect(first.gradients['mid.block_1.conv2.weight']!.some((value) => value !== 0)).toBe(true);
  expect((await engine.compute(4, 1, { images }, weights, signal)).loss).not.toBe(first.loss);
});

it('its fingerprint is measured with dropout too', async () => {
  const { fields } = await engine.fingerprint();
  expect(fields['probe 0 training']).toMatch(/^[0-9a-f]{64}$/);
});

it.each([
  ['ddpm-unet', run],
  [
    'convnext-unet',
    RunConfigSchema.parse({
      format: 'thaw.run/1',
      name: 'recomputing',
      seed: 1,
      data: { dataset: 'none', size: 16, channels: 3 },
      degradation: { family: 'noise', steps: 4 },
      network: { kind: 'convnext-unet', dim: 16, mults: [1, 2] },
      optimizer: { learningRate: 1e-3 },
      batch: { global: 4, micro: 2 },
      steps: 10,
    }),
  ],
])(
  'recomputation changes no bit and no fingerprint: trainers with and without share a run (%s)',
  async (_, config) => {
    const pixels = Uint8Array.from({ length: 2 * config.data.size ** 2 * 3 }, (_, i) => (i * 37) % 256);
    const initial = initialWeights(config.network, config.data, config.seed);
    const results = [];
    for (const recompute of ['none', 'all'] as const) {
      const lanes = await LaneEngine.open(config, 'onnx-cpu', 1, recompute);
      const stored = lanes.weights.map(({ name }, i) => [name, toStored(lanes.weights[i]!, initial[name]!)]);
      const lane = await lanes.compute(3, 1, { images: pixels }, Object.fromEntries(stored), signal);
      results.push({ lane, fingerprint: await lanes.fingerprint() });
      await lanes.close();
    }
    expect(results[1]).toEqual(results[0]);
  },
  60_000,
);

it('an engine that computes op by op refuses to recompute', async () => {
  await expect(LaneEngine.open(run, 'tfjs-wasm', 1, 'all')).rejects.toMatchObject({ code: 'THAW_CONFIG_INVALID' });
});
