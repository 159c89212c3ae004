import type { BlurConfig } from '@thaw/shared/protocol';
import { BlurConfigSchema } from '@thaw/shared/protocol';
import { createDegradation } from '@thaw/shared/diffusion';
import { blurStep } from '../../../shared/diffusion/families/blur.js';
import { gaussianWindow } from '../../../shared/diffusion/window.js';
import type { GoldenCase } from '../vectors.js';
import { degrade, fromNchw, toNchw } from './images.js';
import type { Runner } from './runner.js';

export function blurConfig({ params }: GoldenCase): BlurConfig {
  return BlurConfigSchema.parse({
    family: 'blur',
    steps: params.timesteps,
    routine: params.blur_routine,
    kernelSize: params.kernel_size,
    kernelStd: params.kernel_std,
    discrete: params.discrete ?? false,
  });
}

function kernel(config: BlurConfig, index: number): Float64Array {
  const { taps, sigma } = blurStep(config, index);
  const window = gaussianWindow(taps, sigma);
  return Float64Array.from({ length: taps * taps }, (_, i) => window[Math.floor(i / taps)]! * window[i % taps]!);
}

export const blur: Runner = {
  covers: /^blur\//,
  run(golden) {
    const config = blurConfig(golden);
    const x0 = fromNchw(golden.input('x0'));
    const geometry = { size: x0.shape[1], channels: x0.shape[3] };
    const degradation = createDegradation(config, geometry);
    const severities = golden.integers('t').map((t) => t + 1);
    const outputs: Record<string, ArrayLike<number>> = {
      xt: toNchw(degrade(degradation, x0, severities, { training: true }), x0.shape),
      kernel_first: kernel(config, 0),
      kernel_last: kernel(config, config.steps - 1),
    };
    if (config.discrete) {
      const plain = createDegradation({ ...config, discrete: false }, geometry);
      outputs.xt_before_rounding = toNchw(degrade(plain, x0, severities), x0.shape);
    }
    if (config.routine === 'Individual_Incremental') {
      // The samplers' operator on the first image, severities 1..T.
      const { size, channels } = geometry;
      const image = x0.data.subarray(0, size * size * channels);
      const images = {
        shape: [config.steps, size, size, channels] as [number, number, number, number],
        data: new Float32Array(image.length * config.steps),
      };
      for (let s = 0; s < config.steps; s++) images.data.set(image, s * image.length);
      const all = Array.from({ length: config.steps }, (_, i) => i + 1);
      outputs.single_kernel = toNchw(degrade(degradation, images, all), images.shape);
    }
    return outputs;
  },
};
