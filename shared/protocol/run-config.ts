/** The run file: what a training run is. Stored immutably as `runs/<run>/run.json`; one strict zod schema. */
import { z } from 'zod';
import { DegradationConfigSchema } from './degradation-config.js';
import { degradationProblems } from './degradation-fit.js';
import { NameSchema } from './names.js';

export const UnetConfigSchema = z.strictObject({
  kind: z.literal('convnext-unet'),
  dim: z.int().min(8).max(512).multipleOf(2),
  mults: z.array(z.int().min(1).max(16)).min(1).max(6),
  timeEmbedding: z.boolean().default(true),
  /** Adds the network input to the output. */
  residual: z.boolean().default(false),
  /** Official `output_mean_scale`: takes the mean of the input off the output and adds the mean of the output, per image; not with `residual`. */
  outputMeanScale: z.boolean().optional(),
  /** Weights and bias of the last 1x1 convolution start at zero (with `residual`: the network starts as the identity). */
  zeroInitLast: z.boolean().default(false),
});
/** The DDPM-style U-Net (official class `Model`), which the official CIFAR-10 runs use. */
export const DdpmUnetConfigSchema = z.strictObject({
  kind: z.literal('ddpm-unet'),
  /** Official `ch`; groups of the norm are 32. */
  dim: z.int().min(32).max(512).multipleOf(32),
  /** Official `ch_mult`, one per resolution. */
  mults: z.array(z.int().min(1).max(16)).min(1).max(6),
  /** Residual blocks of every resolution, official `num_res_blocks`. */
  blocks: z.int().min(1).max(8).default(2),
  /** Edges, pixels, of the maps that get attention. */
  attentionSizes: z.array(z.int().min(1).max(1024)).max(6).default([16]),
  /** false: the network is given t = 0 always (official "no time" variant; the parameters stay). */
  timeEmbedding: z.boolean().optional(),
  /** Share of the values dropped in every residual block, in training only. */
  dropout: z.number().min(0).max(0.9).default(0.1),
});
export const NetworkConfigSchema = z.discriminatedUnion('kind', [UnetConfigSchema, DdpmUnetConfigSchema]);

export const RunConfigSchema = z
  .strictObject({
    format: z.literal('thaw.run/1'),
    name: NameSchema,
    seed: z
      .int()
      .min(0)
      .max(2 ** 32 - 1),
    data: z.strictObject({
      dataset: NameSchema,
      /** Edge of the square image given to the network, pixels. */
      size: z.int().min(8).max(1024),
      channels: z.union([z.literal(1), z.literal(3)]),
      /**
       * How a square of `size` is taken from a stored image in training. random-crop: anywhere; centre-crop: from the middle;
       * random-aug: official `random_aug`, a piece of random area and shape resized, mirrored, colours jittered. random-crop unless given.
       */
      augment: z.enum(['random-crop', 'centre-crop', 'random-aug']).optional(),
      /** Every second image is mirrored left to right, at random (random-aug does so always). */
      flip: z.boolean().default(false),
    }),
    degradation: DegradationConfigSchema,
    network: NetworkConfigSchema,
    /** Official `train_routine`: what the network is given and what it has to say; see docs/diffusion.md. Published results use Final. */
    trainRoutine: z
      .enum([
        'Final',
        'Final_small_noise',
        'Final_random_mean',
        'Final_random_mean_and_actual',
        'Gradient_norm',
        'Step',
        'Step_Gradient',
      ])
      .default('Final'),
    /** Mean of the absolute or squared differences; sqrt: root of the mean absolute difference (official snow code). */
    loss: z.enum(['l1', 'l2', 'sqrt']).default('l1'),
    optimizer: z.strictObject({
      learningRate: z.number().positive().max(1),
      beta1: z.number().min(0).lt(1).default(0.9),
      beta2: z.number().min(0).lt(1).default(0.999),
      epsilon: z.number().positive().default(1e-8),
      /** Steps of linear warm-up: the rate of step k (from 0) is learningRate * min(1, (k + 1) / warmupSteps). */
      warmupSteps: z.int().min(0).default(0),
    }),
    ema: z
      .strictObject({
        decay: z.number().min(0).lt(1).default(0.995),
        /** The average is looked at when step mod every = 0 (step counted from 0, after the optimizer). */
        every: z.int().min(1).default(10),
        /** Before this step the average is a copy of the weights. */
        startStep: z.int().min(0).default(2000),
      })
      .prefault({}),
    batch: z.strictObject({
      /** Samples of one optimizer step. */
      global: z.int().min(2).max(65_536),
      /** Samples of one lane; never 1 (batch 1 takes another matrix path). */
      micro: z.int().min(2).max(4096),
    }),
    /** Optimizer steps after which the run is complete. May be raised later with `--steps`; not part of the run's identity. */
    steps: z.int().min(1).max(100_000_000),
    checkpoint: z.strictObject({ everySteps: z.int().min(1).default(1000) }).prefault({}),
    /** Non-finite steps in a row after which the run halts. */
    maxSkippedSteps: z.int().min(1).default(10),
  })
  .superRefine((run, ctx) => {
    if (run.batch.global % run.batch.micro !== 0)
      ctx.addIssue({
        code: 'custom',
        path: ['batch', 'global'],
        message: `must be a multiple of batch.micro (${run.batch.micro})`,
      });
    const divisor = 2 ** (run.network.mults.length - 1);
    if (run.data.size % divisor !== 0)
      ctx.addIssue({
        code: 'custom',
        path: ['data', 'size'],
        message: `must be divisible by ${divisor}, the network halves it ${run.network.mults.length - 1} times`,
      });
    for (const { path, message } of degradationProblems(run.degradation, run.data))
      ctx.addIssue({ code: 'custom', path: ['degradation', ...path], message });
    if (run.network.kind === 'convnext-unet' && run.network.residual && run.network.outputMeanScale)
      ctx.addIssue({
        code: 'custom',
        path: ['network', 'outputMeanScale'],
        message: 'is not for networks with residual: leave one of the two out',
      });
    if (run.network.kind === 'ddpm-unet') {
      const edges = run.network.mults.map((_, level) => run.data.size / 2 ** level);
      const missing = run.network.attentionSizes.filter((edge) => !edges.includes(edge));
      if (missing.length > 0)
        ctx.addIssue({
          code: 'custom',
          path: ['network', 'attentionSizes'],
          message: `${missing.join(', ')} is the edge of no map; the network has maps of ${edges.join(', ')} pixels`,
        });
    }
  });

export type UnetConfig = z.infer<typeof UnetConfigSchema>;
export type DdpmUnetConfig = z.infer<typeof DdpmUnetConfigSchema>;
export type NetworkConfig = z.infer<typeof NetworkConfigSchema>;
export type RunConfig = z.infer<typeof RunConfigSchema>;

/** M, the number of lanes of a run. */
export const laneCount = (run: RunConfig): number => run.batch.global / run.batch.micro;

/** Slices of every checkpoint of a run: as many as members could write at once, within reason; at least two, so that two share the work. */
export const checkpointSliceCount = (run: RunConfig): number => Math.min(16, Math.max(2, laneCount(run)));
