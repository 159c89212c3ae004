import { readFileSync, readdirSync } from 'node:fs';
import { parse } from 'yaml';
import { describe, expect, it } from 'vitest';
import { RunConfigSchema, laneCount } from '../protocol/index.js';
import { blurPadding, blurStep } from './families/blur.js';

const folder = new URL('../../examples/', import.meta.url);
const files = readdirSync(folder).filter((name) => name.endsWith('.yaml'));
const read = (name: string) => RunConfigSchema.parse(parse(readFileSync(new URL(name, folder), 'utf8')));

describe('example run files', () => {
  it('are all there', () => {
    for (const name of ['mnist-demo', 'mnist-blur', 'cifar10-blur', 'celeba-blur', 'celeba-blur-generation'])
      expect(files).toContain(`${name}.yaml`);
  });

  it.each(files)('%s is valid and named after its file', (file) => {
    const run = read(file);
    expect(`${run.name}.yaml`).toBe(file);
    expect(laneCount(run)).toBeGreaterThanOrEqual(4);
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
