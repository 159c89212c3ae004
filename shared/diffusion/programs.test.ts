import { describe, expect, it } from 'vitest';
import { trace } from '../engine/index.js';
import type { RunConfig } from '../protocol/index.js';
import { RunConfigSchema } from '../protocol/index.js';
import { trainingInputs } from './draws.js';
import { pixelsToUnit } from '@thaw/shared/pixels';
import {
  algorithm2Program,
  contextInputs,
  degradationOf,
  degradationProgram,
  restorationProgram,
  tableInputs,
  trainingProgram,
} from './programs.js';

const runWith = (degradation: unknown, channels: 1 | 3 = 1): RunConfig =>
  RunConfigSchema.parse({
    format: 'thaw.run/1',
    name: 'test',
    seed: 5,
    data: { dataset: 'test', size: 16, channels, flip: true },
    degradation,
    network: { kind: 'convnext-unet', dim: 8, mults: [1, 2] },
    optimizer: { learningRate: 0.001 },
    batch: { global: 4, micro: 2 },
    steps: 10,
  });

const degradations: [string, unknown, (1 | 3)?][] = [
  ['blur', { family: 'blur', steps: 4, routine: 'Constant', kernelSize: 5, kernelStd: 1 }],
  [
    'blur in colour, discrete',
    { family: 'blur', steps: 4, routine: 'Individual_Incremental', kernelSize: 5, kernelStd: 1, discrete: true },
    3,
  ],
  ['super-resolution', { family: 'super-resolution', steps: 3, routine: 'Incremental' }],
  ['decolorization', { family: 'decolorization', steps: 4, routine: 'Linear' }, 3],
  ['random mask', { family: 'mask', steps: 4, routine: 'Random_Incremental', kernelStd: 1, discrete: true }],
  ['colour mask', { family: 'colour-mask', steps: 4 }],
  ['fade', { family: 'fade', steps: 4, routine: 'Spiral_2' }, 3],
  ['noise', { family: 'noise', steps: 4 }],
  ['animorphosis', { family: 'animorphosis', steps: 4, partners: 'animals' }],
  ['snow', { family: 'snow', steps: 4, level: 2, fixBrightness: false }, 3],
];

describe.each(degradations)('programs of %s', (_, config, channels = 1) => {
  const run = runWith(config, channels);
  const degradation = degradationOf(run);

  it('are traced without reading a value, and the gradient of every weight comes out', () => {
    const definition = trainingProgram(run, 2, degradation);
    const graph = trace(definition);
    expect(Object.keys(graph.outputs).sort()).toEqual(
      ['loss', ...Object.keys(definition.weights).map((name) => `grad/${name}`)].sort(),
    );
    for (const program of [
      restorationProgram(run, 3),
      degradationProgram(run, 3, degradation),
      algorithm2Program(run, 3, degradation),
    ]) {
      const output = Object.values(trace(program).outputs)[0]!;
      expect(trace(program).values[output]!.shape).toEqual([3, 16, 16, channels]);
    }
  });

  it('name what they are fed', () => {
    const images = new Uint8Array(2 * 16 * 16 * channels).fill(200);
    const fed = {
      ...trainingInputs(run, degradation, 0, 0, { images, partners: images }),
      ...tableInputs(degradation),
    };
    const { inputs } = trainingProgram(run, 2, degradation);
    expect(Object.keys(fed).sort()).toEqual(Object.keys(inputs).sort());
    for (const [name, spec] of Object.entries(inputs)) {
      expect(fed[name]!.length).toBe(spec.shape.reduce((product, extent) => product * extent, 1));
      expect(fed[name]).toBeInstanceOf(spec.dtype === 'int32' ? Int32Array : Float32Array);
    }
  });
});

describe('trainingInputs', () => {
  const run = runWith({ family: 'mask', steps: 4, routine: 'Random_Incremental', kernelStd: 1 });
  const degradation = degradationOf(run);
  const images = Uint8Array.from({ length: 2 * 16 * 16 }, (_, i) => i % 251);

  it('is a pure function of seed, step and lane', () => {
    const draw = (step: number, lane: number) => trainingInputs(run, degradation, step, lane, { images });
    expect(draw(3, 1)).toEqual(draw(3, 1));
    expect(draw(3, 1)).not.toEqual(draw(4, 1));
    expect(draw(3, 1)).not.toEqual(draw(3, 2));
  });

  it('draws every severity of 1..T and leaves the images as they are', () => {
    const seen = new Set<number>();
    for (let step = 0; step < 60; step++) {
      const { severity, x0 } = trainingInputs(run, degradation, step, 0, { images });
      for (const s of severity as Int32Array) seen.add(s);
      expect(x0).toEqual(pixelsToUnit(images));
    }
    expect([...seen].sort()).toEqual([1, 2, 3, 4]);
  });

  it('packs contexts row after row', () => {
    const packed = contextInputs(degradation, [{ centre: Float32Array.of(1, 2) }, { centre: Float32Array.of(3, 4) }]);
    expect(packed).toEqual({ 'context/centre': Float32Array.of(1, 2, 3, 4) });
  });
});
