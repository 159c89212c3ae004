import { describe, expect, it } from 'vitest';
import { BlurConfigSchema, degradationProblems } from '../../protocol/index.js';
import type { BlurConfig } from '../../protocol/index.js';
import { blurStep } from './blur.js';

const blur = (changes: object): BlurConfig =>
  BlurConfigSchema.parse({
    family: 'blur',
    steps: 50,
    routine: 'Linear_Accum_Std',
    kernelSize: 3,
    kernelStd: 1,
    ...changes,
  });
const sigmas = (config: BlurConfig): number[] =>
  Array.from({ length: config.steps }, (_, i) => blurStep(config, i).sigma);

describe('blurs whose sigmas add up to one', () => {
  it('Linear_Accum_Std: the accumulated sigma grows linearly from 0.01', () => {
    let square = 0;
    sigmas(blur({})).forEach((sigma, i) => {
      square += sigma * sigma;
      expect(Math.sqrt(square)).toBeCloseTo(0.01 + (0.99 * i) / 49, 12);
    });
  });

  it('Linear_Dec_Std: the sigma falls linearly to a hundredth, the squares sum to kernelStd squared', () => {
    const config = blur({ routine: 'Linear_Dec_Std', kernelStd: 3 });
    const all = sigmas(config);
    expect(all.reduce((sum, sigma) => sum + sigma * sigma, 0)).toBeCloseTo(9, 12);
    all.forEach((sigma, i) => expect(sigma / all[0]!).toBeCloseTo(1 - (0.99 * i) / 49, 12));
    expect(sigmas(blur({ routine: 'Linear_Dec_Std', steps: 1, kernelStd: 3 }))).toEqual([3]);
    expect(sigmas(blur({ steps: 1 }))).toEqual([0.01]);
  });

  it('the window has 2 floor(2 sigma) + 3 taps and must fit the image', () => {
    const config = blur({ routine: 'Linear_Dec_Std', steps: 2, kernelStd: 3 });
    for (const index of [0, 1]) {
      const { taps, sigma } = blurStep(config, index);
      expect(taps).toBe(2 * Math.floor(2 * sigma) + 3);
    }
    const problem = (changes: object, size = 8): unknown =>
      degradationProblems(blur(changes), { size, channels: 1 })[0];
    expect(problem({})).toBeUndefined();
    expect(problem({ routine: 'Linear_Dec_Std', steps: 2, kernelStd: 9 })).toMatchObject({ path: ['kernelStd'] });
    expect(problem({ kernelStd: 0.001 })).toMatchObject({ path: ['kernelStd'] });
  });
});
