import { readFileSync, readdirSync } from 'node:fs';
import { parse } from 'yaml';
import { describe, expect, it } from 'vitest';
import { RunConfigSchema, blurPadding, laneCount } from '../protocol/index.js';
import { fromOfficial, networkWeightSpecs, parameterCount, toOfficial } from '../model/index.js';
import { degradationOf } from './programs.js';
import { blurStep } from './families/blur.js';

const folder = new URL('../../examples/', import.meta.url);
const files = readdirSync(folder).filter((name) => name.endsWith('.yaml'));
const read = (name: string) => RunConfigSchema.parse(parse(readFileSync(new URL(name, folder), 'utf8')));

describe('example run files', () => {
  it('are all there', () => {
    expect(files.map((file) => file.replace('.yaml', '')).sort()).toEqual(
      [
        'mnist-demo',
        ...['blur', 'mask', 'super-resolution'].map((task) => `mnist-${task}`),
        ...['blur', 'mask', 'super-resolution', 'decolorization', 'snow'].map((task) => `cifar10-${task}`),
        ...['blur', 'mask', 'super-resolution', 'decolorization', 'snow'].map((task) => `celeba-${task}`),
        ...['blur-generation', 'super-resolution-generation', 'colour-mask', 'hot', 'animorphosis'].map(
          (task) => `celeba-${task}`,
        ),
        ...['blur-generation', 'hot'].map((task) => `afhq-${task}`),
      ].sort(),
    );
  });

  it.each(files)('%s is valid and named after its file', (file) => {
    const run = read(file);
    expect(`${run.name}.yaml`).toBe(file);
    expect(laneCount(run)).toBeGreaterThanOrEqual(4);
  });

  // Colour masks at 128 pixels: 751 tables of 128 x 128.
  it.each(files)('%s has a degradation that fits its images', (file) => {
    const run = read(file);
    expect(degradationOf(run).steps).toBe(run.degradation.steps);
  });

  it.each(['blur', 'mask', 'super-resolution'])(
    'the small run of %s reproduces the data and the degradation of the published one',
    (task) => {
      const published = read(`mnist-${task}.yaml`);
      const small = read(`reproduction/mnist-${task}.yaml`);
      for (const field of ['data', 'degradation', 'loss', 'trainRoutine'] as const)
        expect(small[field], field).toEqual(published[field]);
      expect(small.name).toBe(`reproduction-${task}`);
      expect(parameterCount(networkWeightSpecs(small.network, small.data))).toBe(1_007_220);
    },
  );

  it('the published networks have the published numbers of parameters', () => {
    const parameters = (file: string): number => {
      const { network, data } = read(file);
      return parameterCount(networkWeightSpecs(network, data));
    };
    for (const task of ['blur', 'mask', 'super-resolution'])
      expect(parameters(`cifar10-${task}.yaml`)).toBe(35_746_307);
    for (const file of ['celeba-mask', 'celeba-hot', 'cifar10-snow'])
      expect(parameters(`${file}.yaml`)).toBe(56_615_708);
    expect(parameters('mnist-mask.yaml')).toBe(56_612_916);
  });

  it.each([
    ['mnist-mask.yaml', { family: 'mask', steps: 50, kernelStd: 0.1, initialMask: 11, discrete: true }],
    ['cifar10-mask.yaml', { family: 'mask', steps: 50, routine: 'Random_Incremental', discrete: true }],
    [
      'celeba-mask.yaml',
      { family: 'mask', steps: 100, kernelStd: 0.2, initialMask: 1, routine: 'Incremental', discrete: false },
    ],
    ['mnist-super-resolution.yaml', { steps: 3, routine: 'Incremental_factor_2' }],
    ['cifar10-super-resolution.yaml', { steps: 3, routine: 'Incremental_factor_2' }],
    ['celeba-super-resolution.yaml', { steps: 4, routine: 'Incremental_factor_2' }],
    ['cifar10-decolorization.yaml', { steps: 20, routine: 'Linear', totalRemove: true }],
    ['celeba-decolorization.yaml', { steps: 20, routine: 'Linear', totalRemove: true }],
    ['celeba-super-resolution-generation.yaml', { steps: 6, routine: 'Incremental_factor_2' }],
    ['celeba-animorphosis.yaml', { family: 'animorphosis', steps: 200, partners: 'afhq' }],
    ['cifar10-snow.yaml', { steps: 200, level: 3, fixBrightness: true, singleSnow: false, patternImages: 32 }],
    ['celeba-snow.yaml', { steps: 200, level: 4, fixBrightness: true, singleSnow: false, patternImages: 16 }],
    ['celeba-hot.yaml', { family: 'noise', steps: 200 }],
    ['celeba-colour-mask.yaml', { steps: 750, kernelStd: 0.05, initialMask: 1, reverse: true }],
  ])('%s has the published degradation', (file, degradation) => {
    expect(read(file).degradation).toMatchObject(degradation);
  });

  it.each([
    ['mnist-blur', 'random-crop', true],
    ['mnist-mask', 'random-crop', false],
    ['mnist-super-resolution', 'centre-crop', false],
    ['cifar10-blur', 'random-crop', true],
    ['cifar10-mask', 'random-crop', true],
    ['cifar10-super-resolution', 'random-crop', true],
    ['cifar10-decolorization', 'random-crop', false],
    ['celeba-decolorization', 'centre-crop', false],
    ['celeba-snow', 'centre-crop', false],
    ['celeba-animorphosis', 'random-crop', true],
  ])('%s has the published loader', (name, augment, flip) => {
    const { data } = read(`${name}.yaml`);
    expect([data.augment ?? 'random-crop', data.flip]).toEqual([augment, flip]);
  });

  it('all published trainings share loss, optimizer and average', () => {
    for (const file of files.filter((name) => name !== 'mnist-demo.yaml')) {
      const { loss, trainRoutine, optimizer, ema, batch, steps, network } = read(file);
      expect({ loss, trainRoutine }).toEqual({ loss: 'l1', trainRoutine: 'Final' });
      expect(optimizer).toEqual({ learningRate: 2e-5, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, warmupSteps: 0 });
      expect(ema).toEqual({ decay: 0.995, every: 10, startStep: 2000 });
      // Two accumulated batches of 32; 100 for masks on CelebA, 16 for snow on CelebA.
      expect(batch.global).toBe(file === 'celeba-mask.yaml' ? 200 : file === 'celeba-snow.yaml' ? 32 : 64);
      expect(steps).toBe(file === 'celeba-mask.yaml' ? 350_000 : 700_000);
      expect(network.mults).toEqual(network.kind === 'ddpm-unet' ? [1, 2, 2, 2] : [1, 2, 4, 8]);
    }
  });

  it('every parameter of every published network has the same axes in both layouts, so that a round trip moves and loses nothing', () => {
    const seen = new Set<string>();
    for (const file of files) {
      const { network, data } = read(file);
      for (const [name, spec] of Object.entries(networkWeightSpecs(network, data))) {
        const { modelShape, officialShape, officialPermutation } = spec;
        expect([...officialPermutation].sort(), name).toEqual(modelShape.map((_, axis) => axis));
        const moved = officialPermutation.map((axis) => modelShape[axis]!);
        expect(moved.filter((extent) => extent !== 1)).toEqual(officialShape.filter((extent) => extent !== 1));
        const key = JSON.stringify(spec);
        if (seen.has(key) || moved.reduce((product, extent) => product * extent, 1) > 40_000) continue;
        seen.add(key);
        const values = Float32Array.from(
          { length: moved.reduce((product, extent) => product * extent, 1) },
          (_, i) => i,
        );
        expect(fromOfficial(spec, toOfficial(spec, values))).toEqual(values);
      }
    }
    expect(seen.size).toBeGreaterThan(20);
  });

  it('the demonstration is the known one: 8 steps of sigma 1 with 11 taps, wrapped', () => {
    const { degradation, network, data, batch } = read('mnist-demo.yaml');
    expect(degradation).toMatchObject({
      family: 'blur',
      steps: 8,
      routine: 'Constant',
      kernelSize: 11,
      kernelStd: 1,
      discrete: false,
    });
    expect(network).toMatchObject({
      dim: 16,
      mults: [1, 2, 4],
      residual: true,
      zeroInitLast: true,
      timeEmbedding: true,
    });
    expect(data).toMatchObject({ size: 32, channels: 1 });
    expect(batch).toEqual({ global: 16, micro: 4 });
  });

  it.each([
    ['mnist-blur.yaml', 20, 11, 7, 7, 'circular', false],
    ['cifar10-blur.yaml', 50, 11, 0.35, 0.84, 'reflect', false],
    ['celeba-blur.yaml', 200, 15, 1, 7.316, 'reflect', false],
    ['afhq-blur-generation.yaml', 300, 27, 1, 19.886, 'circular', true],
    ['celeba-blur-generation.yaml', 300, 27, 1, 19.886, 'circular', true],
  ])('%s has the published blur', (file, steps, taps, first, last, padding, discrete) => {
    const { degradation } = read(file);
    if (degradation.family !== 'blur') throw new Error('not a blur');
    expect(degradation.steps).toBe(steps);
    expect(degradation.discrete).toBe(discrete);
    expect(blurPadding(degradation)).toBe(padding);
    expect(blurStep(degradation, 0).taps).toBe(taps);
    expect(blurStep(degradation, 0).sigma).toBeCloseTo(first, 3);
    expect(blurStep(degradation, steps - 1).sigma).toBeCloseTo(last, 3);
  });
});
