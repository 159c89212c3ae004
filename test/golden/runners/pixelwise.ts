/** Super-resolution, decolorization, masks and mixing. */
import * as tf from '@tensorflow/tfjs-core';
import type { Degradation } from '@thaw/shared/diffusion';
import { createDegradation } from '@thaw/shared/diffusion';
import { DegradationConfigSchema, DecolorizationConfigSchema, MaskConfigSchema } from '@thaw/shared/protocol';
import type { DecolorizationConfig, MaskConfig } from '@thaw/shared/protocol';
import { cumulativeFades, fade, fixedCentre, squaredDistances } from '../../../shared/diffusion/fade.js';
import { keptByStep } from '../../../shared/diffusion/families/decolorization.js';
import { maskSchedule } from '../../../shared/diffusion/families/mask.js';
import { cosineSchedule, createMixing } from '../../../shared/diffusion/families/mixing.js';
import type { GoldenCase } from '../vectors.js';
import type { DegradeOptions, Images } from './images.js';
import { degrade, fromNchw, toNchw, withTensors } from './images.js';
import type { Runner } from './runner.js';
import { affineRestoration, algorithmOf, fullyDegraded, sample, stacked } from './samplers.js';

const severitiesOf = (golden: GoldenCase): number[] => golden.integers('t').map((t) => t + 1);

const superResolutionOf = ({ params }: GoldenCase): Degradation =>
  createDegradation(
    DegradationConfigSchema.parse({
      family: 'super-resolution',
      steps: params.timesteps,
      routine: params.resolution_routine,
    }),
    { size: params.image_size as number, channels: params.channels as number },
  );

export const superResolution: Runner = {
  covers: /^resolution\//,
  run(golden) {
    const x0 = fromNchw(golden.input('x0'));
    return { xt: toNchw(degrade(superResolutionOf(golden), x0, severitiesOf(golden), { training: true }), x0.shape) };
  },
};

export const superResolutionSamplers: Runner = {
  covers: /^sampler\/resolution_/,
  async run(golden) {
    const degradation = superResolutionOf(golden);
    const start = fullyDegraded(degradation, fromNchw(golden.input('x0')));
    return {
      xT: toNchw(start.data, start.shape),
      direct: toNchw((await sample(golden, degradation, start, 'direct')).final, start.shape),
      final: toNchw((await sample(golden, degradation, start)).final, start.shape),
    };
  },
};

const decolorizationConfig = ({ params }: GoldenCase): DecolorizationConfig =>
  DecolorizationConfigSchema.parse({
    family: 'decolorization',
    steps: params.num_timesteps,
    routine: params.decolor_routine,
    factor: params.decolor_ema_factor ?? 0.9,
    totalRemove: params.decolor_total_remove,
    toLab: params.to_lab,
  });

export const decolorization: Runner = {
  covers: /^decolor\//,
  run(golden) {
    const config = decolorizationConfig(golden);
    const image = fromNchw(golden.input('x0'));
    const severities = severitiesOf(golden);
    const [, h, w, c] = image.shape;
    const x0 = {
      shape: [severities.length, h, w, c] as [number, number, number, number],
      data: new Float32Array(image.data.length * severities.length),
    };
    severities.forEach((_, row) => x0.data.set(image.data, row * image.data.length));
    const matrices = Array.from({ length: config.steps }, (_, i) => keptByStep(config, i)).flatMap((f) =>
      Array.from({ length: 9 }, (_, k) => (k % 4 === 0 ? f : 0) + (1 - f) / 3),
    );
    const degradation = createDegradation(config, { size: h, channels: 3 });
    const degraded = degrade(degradation, x0, severities);
    return { xt: toNchw(throughNetworkSpace(degradation, degraded, x0.shape), x0.shape), matrices };
  },
};

/** States are stored in RGB; the official code keeps them as its network sees them and brings them back to RGB for the case. */
const throughNetworkSpace = (
  { networkSpace }: Degradation,
  data: Float32Array,
  shape: Images['shape'],
): Float32Array =>
  networkSpace === undefined
    ? data
    : withTensors(
        () => networkSpace.toImage(networkSpace.toNetwork(tf.tensor4d(data, shape))).dataSync() as Float32Array,
      );

const maskConfig = ({ params }: GoldenCase): MaskConfig =>
  MaskConfigSchema.parse({
    family: 'mask',
    steps: params.timesteps,
    routine: params.fade_routine,
    kernelStd: params.kernel_std,
    initialMask: params.initial_mask,
    discrete: params.discrete ?? false,
  });

/** The official crop offsets as centres in the image. */
function centres(golden: GoldenCase, size: number): DegradeOptions['context'] {
  if (!golden.has('rand_x')) return {};
  const columns = golden.integers('rand_y');
  const data = golden.integers('rand_x').flatMap((row, i) => [size - 1 - row, size - 1 - columns[i]!]);
  return { centre: { data: Float32Array.from(data), shape: [columns.length, 2] } };
}

export const mask: Runner = {
  covers: /^mask\//,
  run(golden) {
    const config = maskConfig(golden);
    const x0 = fromNchw(golden.input('x0'));
    const size = x0.shape[1];
    const degradation = createDegradation(config, { size, channels: x0.shape[3] });
    const random = config.routine === 'Random_Incremental';
    const distances = random ? squaredDistances(2 * size, size - 1) : squaredDistances(size, fixedCentre(size));
    const schedule = maskSchedule(config);
    return {
      xt: toNchw(
        degrade(degradation, x0, severitiesOf(golden), { training: true, context: centres(golden, size) }),
        x0.shape,
      ),
      kernel_first: distances.map((d2) => fade(schedule, 0, d2)),
      cumulative_last: cumulativeFades(schedule, config.steps, distances).subarray(config.steps * distances.length),
    };
  },
};

export const maskSamplers: Runner = {
  covers: /^sampler\/mask_/,
  async run(golden) {
    const x0 = fromNchw(golden.input('x0'));
    const size = x0.shape[1];
    const degradation = createDegradation(maskConfig(golden), { size, channels: x0.shape[3] });
    const options = { context: centres(golden, size) };
    const start = fullyDegraded(degradation, x0, options);
    const { states, estimates, final } = await sample(golden, degradation, start, undefined, options);
    return {
      xT: toNchw(start.data, start.shape),
      after_update: stacked([...states.slice(1), final], start.shape),
      x0hats: stacked(estimates, start.shape),
      final: toNchw(final, start.shape),
    };
  },
};

const colourMaskOf = ({ params }: GoldenCase): Degradation =>
  createDegradation(
    DegradationConfigSchema.parse({
      family: 'colour-mask',
      steps: params.timesteps,
      kernelStd: params.kernel_std,
      initialMask: params.initial_mask,
      reverse: params.reverse,
    }),
    { size: params.image_size as number, channels: 3 },
  );

const colours = (golden: GoldenCase): Required<DegradeOptions>['context'] => {
  const { shape } = golden.input('colour');
  return { colour: { data: golden.floats('colour'), shape: [shape[0]!, shape[1]!] } };
};

export const colourMask: Runner = {
  covers: /^genmask\//,
  run(golden) {
    const degradation = colourMaskOf(golden);
    const x0 = fromNchw(golden.input('x0'));
    const area = x0.shape[1] * x0.shape[2];
    return {
      alphas: degradation.tables.alpha!.data.subarray(area),
      xt: toNchw(degrade(degradation, x0, severitiesOf(golden), { context: colours(golden) }), x0.shape),
    };
  },
};

export const colourMaskSamplers: Runner = {
  covers: /^sampler\/genmask_/,
  async run(golden) {
    const degradation = colourMaskOf(golden);
    const { size } = degradation.geometry;
    const context = colours(golden);
    const { data, shape: colourShape } = context.colour!;
    const shape: [number, number, number, number] = [colourShape[0]!, size, size, 3];
    const start = {
      shape,
      data: Float32Array.from(
        { length: shape[0] * size * size * 3 },
        (_, i) => data[Math.floor(i / (size * size * 3)) * 3 + (i % 3)]!,
      ),
    };
    return {
      direct: toNchw((await sample(golden, degradation, start, 'direct')).final, shape),
      final: toNchw((await sample(golden, degradation, start, 'algorithm2', { context })).final, shape),
    };
  },
};

export const schedule: Runner = {
  covers: /^schedule\//,
  run(golden) {
    const kept = cosineSchedule(golden.params.timesteps as number).subarray(1);
    return {
      alphas_cumprod: kept,
      sqrt_alphas_cumprod: kept.map((a) => Math.sqrt(a)),
      sqrt_one_minus_alphas_cumprod: kept.map((a) => Math.sqrt(1 - a)),
    };
  },
};

/** The mixing operator with a partner given by the case; animorphosis and hot diffusion share it. */
function mixingOf(steps: number, size: number): Degradation {
  const noise = createDegradation({ family: 'noise', steps }, { size, channels: 3 });
  return { ...noise, ...createMixing(steps, { size, channels: 3 }) };
}

export const mixing: Runner = {
  covers: /^mix\//,
  run(golden) {
    const x0 = fromNchw(golden.input('x0'));
    const context = { partner: fromNchw(golden.input('z')) };
    const degradation = mixingOf(golden.params.timesteps as number, x0.shape[1]);
    return { xt: toNchw(degrade(degradation, x0, severitiesOf(golden), { context }), x0.shape) };
  },
};

export const mixingSamplers: Runner = {
  covers: /^sampler\/(hot|animorph)_/,
  async run(golden) {
    const start = fromNchw(golden.input('start'));
    const steps = golden.params.timesteps as number;
    const algorithm = golden.params.sampling_routine === 'ddim' ? 'ddim' : algorithmOf(golden);
    const { final } = await sample(golden, mixingOf(steps, start.shape[1]), start, algorithm, {
      context: { partner: start },
    });
    return {
      direct: toNchw(affineRestoration(golden, steps, 3)(start.data, steps - 1), start.shape),
      final: toNchw(final, start.shape),
    };
  },
};

const officialSeverities =
  'the official loop runs one severity too low (reference 12.1); chain and chain_final are the correct ones';

const decolorizationSamplerOf = ({ params }: GoldenCase, size: number): Degradation =>
  createDegradation(
    DecolorizationConfigSchema.parse({
      family: 'decolorization',
      steps: params.timesteps,
      routine: params.decolor_routine,
      totalRemove: params.decolor_total_remove,
    }),
    { size, channels: 3 },
  );

export const decolorizationSamplers: Runner = {
  covers: /^sampler\/decolorization_/,
  omits: { final: officialSeverities },
  async run(golden) {
    const x0 = fromNchw(golden.input('x0'));
    const degradation = decolorizationSamplerOf(golden, x0.shape[1]);
    const start = fullyDegraded(degradation, x0);
    const { states, final } = await sample(golden, degradation, start);
    return {
      xT: toNchw(start.data, start.shape),
      direct: toNchw((await sample(golden, degradation, start, 'direct')).final, start.shape),
      chain: stacked(states, start.shape),
      chain_final: toNchw(final, start.shape),
    };
  },
};
