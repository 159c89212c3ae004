/** The run file: what a training run is. Stored immutably as `runs/<run>/run.json`; one strict zod schema. */
import { z } from 'zod';

export const runNamePattern = /^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$/;
/** A name that is used in object keys and NATS subjects: lower-case letters, digits, inner hyphens, at most 64. */
export const NameSchema = z
  .string()
  .regex(runNamePattern, 'use lower-case letters, digits and inner hyphens, at most 64 characters');

export const BlurRoutineSchema = z.enum([
  'Incremental',
  'Constant',
  'Constant_reflect',
  'Exponential',
  'Exponential_reflect',
  'Special_6_routine',
  'Individual_Incremental',
]);

export const BlurConfigSchema = z.strictObject({
  family: z.literal('blur'),
  /** T, the number of severities. */
  steps: z.int().min(1).max(10_000),
  routine: BlurRoutineSchema,
  /** Taps of the one-dimensional window, odd. Ignored by Special_6_routine (11) and Individual_Incremental (2i+1). */
  kernelSize: z
    .int()
    .min(1)
    .max(255)
    .refine((n) => n % 2 === 1, 'must be odd'),
  /** Meaning depends on the routine; see docs. */
  kernelStd: z.number().positive().max(1000),
  /** Last severity is the spatial mean; training input is truncated to 8 bits. */
  discrete: z.boolean().default(false),
});

export const SuperResolutionConfigSchema = z.strictObject({
  family: z.literal('super-resolution'),
  /** T, the number of severities. */
  steps: z.int().min(1).max(1024),
  /** Official `resolution_routine`: shrinking by one pixel a step, or by 2; bicubic unless it says otherwise. */
  routine: z.enum([
    'Incremental',
    'Incremental_bilinear',
    'Incremental_area',
    'Incremental_bicubic_with_blur',
    'Incremental_bilinear_with_blur',
    'Incremental_area_with_blur',
    'Incremental_factor_2',
    'Incremental_bilinear_factor_2',
    'Incremental_area_factor_2',
  ]),
});

export const DecolorizationConfigSchema = z.strictObject({
  family: z.literal('decolorization'),
  /** T, the number of severities. */
  steps: z.int().min(1).max(10_000),
  routine: z.enum(['Constant', 'Linear']),
  /** Share of colour kept by each step of the routine Constant. */
  factor: z.number().min(0).max(1).default(0.9),
  /** The last severity is grey. */
  totalRemove: z.boolean().default(false),
  /** Official `to_lab`: the steps pass through CIE Lab, which cuts colours off at the range of the image. */
  toLab: z.boolean().optional(),
});

export const MaskConfigSchema = z.strictObject({
  family: z.literal('mask'),
  /** T, the number of severities. */
  steps: z.int().min(1).max(2000),
  /** Random_Incremental has a centre of its own in every image. */
  routine: z.enum(['Incremental', 'Constant', 'Random_Incremental']),
  /** Width of the Gaussian mask, pixels; of step i (from 0) kernelStd * (i + initialMask), except for Constant. */
  kernelStd: z.number().positive().max(1000),
  initialMask: z.number().positive().max(10_000).default(11),
  /** Truncates training input and the start of sampling to 8 bits. */
  discrete: z.boolean().default(false),
});

export const ColourMaskConfigSchema = z.strictObject({
  family: z.literal('colour-mask'),
  /** T, the number of severities. */
  steps: z.int().min(1).max(2000),
  kernelStd: z.number().positive().max(1000).default(0.15),
  initialMask: z.number().positive().max(10_000).default(11),
  /** The colour closes in from the border; otherwise it grows from the centre. */
  reverse: z.boolean().default(false),
});

export const NoiseConfigSchema = z.strictObject({
  family: z.literal('noise'),
  /** T, the number of severities of the cosine schedule. */
  steps: z.int().min(1).max(10_000),
});

export const SnowConfigSchema = z.strictObject({
  family: z.literal('snow'),
  /** T, the number of severities. */
  steps: z.int().min(1).max(10_000),
  level: z.union([z.literal(1), z.literal(2), z.literal(3), z.literal(4)]),
  /** A new pattern for every image; otherwise one pattern for everything. */
  randomSnow: z.boolean().default(true),
  /** Adds the snow without brightening the image first. */
  fixBrightness: z.boolean().default(true),
  /** A new direction of the streaks at every severity. */
  singleSnow: z.boolean().default(false),
});

export const DegradationConfigSchema = z.discriminatedUnion('family', [
  BlurConfigSchema,
  SuperResolutionConfigSchema,
  DecolorizationConfigSchema,
  MaskConfigSchema,
  ColourMaskConfigSchema,
  NoiseConfigSchema,
  SnowConfigSchema,
]);

export const UnetConfigSchema = z.strictObject({
  kind: z.literal('convnext-unet'),
  dim: z.int().min(8).max(512).multipleOf(2),
  mults: z.array(z.int().min(1).max(16)).min(1).max(6),
  timeEmbedding: z.boolean().default(true),
  /** Adds the network input to the output. */
  residual: z.boolean().default(false),
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
      flip: z.boolean().default(false),
    }),
    degradation: DegradationConfigSchema,
    network: NetworkConfigSchema,
    loss: z.enum(['l1', 'l2']).default('l1'),
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

export type BlurConfig = z.infer<typeof BlurConfigSchema>;
export type SuperResolutionConfig = z.infer<typeof SuperResolutionConfigSchema>;
export type DecolorizationConfig = z.infer<typeof DecolorizationConfigSchema>;
export type MaskConfig = z.infer<typeof MaskConfigSchema>;
export type ColourMaskConfig = z.infer<typeof ColourMaskConfigSchema>;
export type NoiseConfig = z.infer<typeof NoiseConfigSchema>;
export type SnowConfig = z.infer<typeof SnowConfigSchema>;
export type DegradationConfig = z.infer<typeof DegradationConfigSchema>;
export type UnetConfig = z.infer<typeof UnetConfigSchema>;
export type DdpmUnetConfig = z.infer<typeof DdpmUnetConfigSchema>;
export type NetworkConfig = z.infer<typeof NetworkConfigSchema>;
export type RunConfig = z.infer<typeof RunConfigSchema>;

/** M, the number of lanes of a run. */
export const laneCount = (run: RunConfig): number => run.batch.global / run.batch.micro;

/** Slices of every checkpoint of a run: as many as members could write at once, within reason; at least two, so that two share the work. */
export const checkpointSliceCount = (run: RunConfig): number => Math.min(16, Math.max(2, laneCount(run)));
