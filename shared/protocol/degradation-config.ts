/** The degradations of a run file: one strict zod schema per family, by the official parameter names in camel case. */
import { z } from 'zod';
import { NameSchema } from './names.js';

export const BlurRoutineSchema = z.enum([
  'Incremental',
  'Constant',
  'Constant_reflect',
  'Exponential',
  'Exponential_reflect',
  'Special_6_routine',
  'Individual_Incremental',
  'Linear_Accum_Std',
  'Linear_Dec_Std',
]);

export const BlurConfigSchema = z.strictObject({
  family: z.literal('blur'),
  /** T, the number of severities. */
  steps: z.int().min(1).max(10_000),
  routine: BlurRoutineSchema,
  /** Taps of the one-dimensional window, odd. Ignored by Special_6_routine (11), Individual_Incremental (2i+1) and the Linear routines (as wide as sigma needs). */
  kernelSize: z
    .int()
    .min(1)
    .max(255)
    .refine((n) => n % 2 === 1, 'must be odd, from 1 to 255'),
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
  /** Official `to_lab`: the network sees CIE Lab, losses and sums of Algorithm 2 are taken there; colours are cut off at the range of the image. */
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
  /** A field for every image, and a new direction of its streaks at every severity: vertical for half of `patternImages`, or by a coin. */
  singleSnow: z.boolean().default(false),
  /** Images in a row that share a pattern, or with singleSnow the directions (the official code: its batch); 1 unless given. */
  patternImages: z.int().min(1).max(65_536).optional(),
});

export const AnimorphosisConfigSchema = z.strictObject({
  family: z.literal('animorphosis'),
  /** T, the number of severities of the cosine schedule. */
  steps: z.int().min(1).max(10_000),
  /** The data set of the pictures that images dissolve into, prepared and cut like the run's own. */
  partners: NameSchema,
});

export const FadeConfigSchema = z.strictObject({
  family: z.literal('fade'),
  /** T, the number of severities. */
  steps: z.int().min(1).max(65_536),
  /** Incremental and Constant fade the whole image; Spiral takes one pixel a step, Spiral_2 into a random colour. */
  routine: z.enum(['Incremental', 'Constant', 'Spiral', 'Spiral_2']),
  /** Official `start_fade_factor`: what step i (from 0) takes of the image, times i + 1 for Incremental. Ignored by the spirals. */
  factor: z.number().positive().max(1).default(0.1),
});

export const DegradationConfigSchema = z.discriminatedUnion('family', [
  BlurConfigSchema,
  SuperResolutionConfigSchema,
  DecolorizationConfigSchema,
  MaskConfigSchema,
  ColourMaskConfigSchema,
  NoiseConfigSchema,
  AnimorphosisConfigSchema,
  SnowConfigSchema,
  FadeConfigSchema,
]);

export type BlurConfig = z.infer<typeof BlurConfigSchema>;
export type SuperResolutionConfig = z.infer<typeof SuperResolutionConfigSchema>;
export type DecolorizationConfig = z.infer<typeof DecolorizationConfigSchema>;
export type MaskConfig = z.infer<typeof MaskConfigSchema>;
export type ColourMaskConfig = z.infer<typeof ColourMaskConfigSchema>;
export type NoiseConfig = z.infer<typeof NoiseConfigSchema>;
export type AnimorphosisConfig = z.infer<typeof AnimorphosisConfigSchema>;
export type SnowConfig = z.infer<typeof SnowConfigSchema>;
export type FadeConfig = z.infer<typeof FadeConfigSchema>;
export type DegradationConfig = z.infer<typeof DegradationConfigSchema>;
