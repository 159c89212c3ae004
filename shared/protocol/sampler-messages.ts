/** What samplers say to each other and to the coordinator, over NATS and in the object store. */
import { z } from 'zod';
import { MixtureSchema } from './prior.js';
import { NameSchema } from './names.js';

export const samplerSubjects = {
  /** Request, queue group {@link samplerQueue}: compute one row of a job ({@link RowOfferSchema} -> {@link RowAnswerSchema}). */
  rows: 'thaw.sampler.rows',
  /** Events of samplers to all samplers ({@link SamplerEventSchema}). */
  events: 'thaw.sampler.events',
  /** Request, queue group {@link samplerQueue}: evaluate a checkpoint ({@link EvaluateRequestSchema} -> {@link EvaluateResultSchema}). */
  evaluate: 'thaw.sampler.evaluate',
  /** Event: an evaluation is finished and stored ({@link EvaluateResultSchema}). */
  evaluated: 'thaw.sampler.evaluated',
  /** Request, queue group {@link samplerQueue}: a job for the playground ({@link PlayRequestSchema} -> {@link PlayAnswerSchema}). */
  play: 'thaw.sampler.play',
  /** Request, queue group {@link samplerQueue}: its next frames, from any sampler ({@link FramesRequestSchema} -> {@link FramesAnswerSchema}). */
  frames: 'thaw.sampler.frames',
  /** Event, from whoever moved a channel: samplers look at it now instead of at their next poll ({@link ChannelMovedSchema}). */
  channelMoved: 'thaw.channel-moved',
} as const;
export const samplerQueue = 'samplers';

/** The streams of served weights (design: latest and candidate move by themselves or by a gate, canary and stable by decision). */
export const channelNames = ['latest', 'candidate', 'canary', 'stable'] as const;
export type ChannelName = (typeof channelNames)[number];

const Sha256Schema = z.string().regex(/^[0-9a-f]{64}$/, 'must be a SHA-256 in hexadecimal');
export const JobIdSchema = z.string().regex(/^[0-9a-f]{32}$/, 'must be 32 hexadecimal digits');
const SamplerNameSchema = z.string().min(1).max(200);

/** The weights that a job is computed with: one checkpoint, named by what its manifest hashes to. */
export const ModelVersionSchema = z.strictObject({
  run: NameSchema,
  step: z.int().min(0),
  manifestSha256: Sha256Schema,
});
export type ModelVersion = z.infer<typeof ModelVersionSchema>;

export const SamplingAlgorithmSchema = z.enum(['algorithm2', 'algorithm1', 'direct', 'ddim', 'step']);

/**
 * An accepted job, stored as `jobs/<id>/spec.json` before its acceptance is answered. Everything that decides a row's bits is in it:
 * rows are functions of (spec, row).
 */
export const JobSpecSchema = z.strictObject({
  format: z.literal('thaw.job/1'),
  id: JobIdSchema,
  /** Wall clock of the accepting sampler. */
  acceptedMs: z.number(),
  /**
   * sample: held-out test images are degraded and restored; restore: the image given is; generate: images from nothing; evaluate:
   * consecutive images of a split are degraded and restored, and all that an evaluation looks at is kept.
   */
  mode: z.enum(['sample', 'restore', 'generate', 'evaluate']),
  count: z.int().min(1),
  seed: z
    .int()
    .min(0)
    .max(2 ** 32 - 1),
  version: ModelVersionSchema,
  sampler: SamplingAlgorithmSchema,
  /** Severities at which the network is called, falling. The first is that of the start image, unless `degradedTo` is. */
  severities: z.array(z.int().min(1)).min(1),
  /** Severity to which start images are degraded, where sampling starts at a smaller one. */
  degradedTo: z.int().min(1).optional(),
  /** Algorithm 1 draws new noise for every state. */
  freshNoise: z.literal(true).optional(),
  /** Start images are clean and degraded to the first severity (or `degradedTo`) here. Always true for `sample` and `evaluate`; for `generate` without a mixture. */
  degrade: z.boolean(),
  /** Data set and positions in its test split, one per row. */
  test: z.strictObject({ dataset: NameSchema, indices: z.array(z.int().min(0)) }).optional(),
  /** evaluate: row i is image `first` + i of the split. */
  evaluation: z
    .strictObject({
      dataset: NameSchema,
      split: NameSchema,
      first: z.int().min(0),
      /** Of the model: a sampler that would compute other bits refuses. */
      fingerprint: Sha256Schema,
    })
    .optional(),
  /** What the start images are besides the degraded ones. */
  start: z
    .strictObject({
      /** generate: images [edge, edge, C] drawn from the mixture and enlarged. Absent: what the degradation makes. */
      mixture: MixtureSchema.optional(),
      edge: z.int().min(1).optional(),
      /** SHA-256 of the prior that the mixture was taken from. */
      prior: Sha256Schema.optional(),
      /** Deviation of the normal noise added to the start. */
      noise: z.number().min(0),
      /** The same noise is taken off the result (sample and restore). */
      removed: z.boolean().optional(),
    })
    .optional(),
  /** Wall clock after which the job is not computed any further. */
  deadlineAtMs: z.number().optional(),
  /** States are kept for watchers and sent at this rate. */
  framesPerSecond: z.number().optional(),
});
export type JobSpec = z.infer<typeof JobSpecSchema>;

export const RowOfferSchema = z.strictObject({ spec: JobSpecSchema, row: z.int().min(0) });
export type RowOffer = z.infer<typeof RowOfferSchema>;

/** accepted: the row is computed or being computed there; busy: ask again a little later. */
/** `unfit`: the row is of an evaluation for which this sampler would compute other bits. */
export const RowAnswerSchema = z.strictObject({
  answer: z.enum(['accepted', 'busy', 'unfit']),
  sampler: SamplerNameSchema,
});
export type RowAnswer = z.infer<typeof RowAnswerSchema>;

/** A hint: the channel's log is the truth. */
export const ChannelMovedSchema = z.strictObject({ channel: NameSchema });
export type ChannelMoved = z.infer<typeof ChannelMovedSchema>;

const rowName = { job: JobIdSchema, row: z.int().min(0) };
export const SamplerEventSchema = z.discriminatedUnion('type', [
  /** Heartbeat: this sampler lives and computes these rows. */
  z.strictObject({
    type: z.literal('beat'),
    sampler: SamplerNameSchema,
    rows: z.array(z.strictObject({ ...rowName, severity: z.int().min(0) })),
  }),
  /** A sampler goes away in good order: its rows and jobs are free at once. */
  z.strictObject({ type: z.literal('leave'), sampler: SamplerNameSchema }),
  /** The result of a row, or a state of it for watchers, is in the store. */
  z.strictObject({ type: z.literal('stored'), sampler: SamplerNameSchema, ...rowName, severity: z.int().min(0) }),
  z.strictObject({
    type: z.literal('row-failed'),
    sampler: SamplerNameSchema,
    ...rowName,
    code: z.string().max(100),
    message: z.string().max(2000),
  }),
  /** A client has asked for the job or a row of it: whoever waits for a block of an evaluation is alive. */
  z.strictObject({ type: z.literal('asked'), sampler: SamplerNameSchema, job: JobIdSchema }),
  /** The job is over (`jobs/<id>/end.json` is written); whoever computes a row of it stops. */
  z.strictObject({ type: z.literal('ended'), sampler: SamplerNameSchema, job: JobIdSchema }),
]);
export type SamplerEvent = z.infer<typeof SamplerEventSchema>;

/** Evaluate a checkpoint on the first `count` images of a split, at full severity. Asked again, the stored answer is given. */
export const EvaluateRequestSchema = z.strictObject({
  run: NameSchema,
  step: z.int().min(0),
  split: NameSchema.default('test'),
  count: z.int().min(1).max(100_000).default(256),
});
export type EvaluateRequest = z.infer<typeof EvaluateRequestSchema>;

/** Mean of a metric over the images, for the restorations and for the baselines. */
const ScoresSchema = z.strictObject({
  degraded: z.number(),
  black: z.number(),
  mean: z.number(),
  direct: z.number(),
  sampled: z.number(),
});
/** With more images than these, scores of single images are left out: an evaluation is one message. */
export const mostScoredApart = 10_000;

/** `ratio` = sampled / the best (smallest) of degraded, black and mean. */
const ErrorScoresSchema = z.strictObject({ ...ScoresSchema.shape, ratio: z.number() });

/** Stored as `runs/<run>/evaluations/<step, 8 digits>.json`, with a picture of the first images beside it (`.png`). */
export const EvaluateResultSchema = z.strictObject({
  format: z.literal('thaw.evaluation/1'),
  run: NameSchema,
  step: z.int().min(0),
  manifestSha256: Sha256Schema,
  dataset: NameSchema,
  split: NameSchema,
  count: z.int().min(1),
  /** Severity from which images are restored (T). */
  severity: z.int().min(1),
  l1: ErrorScoresSchema,
  rmse: ErrorScoresSchema,
  ssim: ScoresSchema,
  psnr: ScoresSchema,
  /** Of each image restored by Algorithm 2, in order: mean square error on [0, 1], and SSIM. For intervals of differences. */
  perImage: z
    .strictObject({
      square: z.array(z.number()).max(mostScoredApart),
      ssim: z.array(z.number()).max(mostScoredApart),
    })
    .optional(),
  sampler: SamplerNameSchema,
  evaluatedMs: z.number(),
  durationMs: z.number(),
});
export type EvaluateResult = z.infer<typeof EvaluateResultSchema>;

const BytesSchema = z.custom<Uint8Array>((value) => value instanceof Uint8Array, 'must be bytes');

/** One image, watched while it is restored: a held-out test image chosen by the seed, or the PNG or JPEG given, degraded first. */
export const PlayRequestSchema = z.strictObject({
  seed: z
    .int()
    .min(0)
    .max(2 ** 32 - 1),
  image: BytesSchema.refine((bytes) => bytes.byteLength <= 512 << 10, 'must be at most 512 KiB').optional(),
  /** The image may be greyscale where the model takes colour, and the reverse. */
  convert: z.boolean().optional(),
  sampler: SamplingAlgorithmSchema.default('algorithm2'),
  channel: z.enum(channelNames).optional(),
});
export type PlayRequest = z.infer<typeof PlayRequestSchema>;

export const PlayAnswerSchema = z.strictObject({
  job: JobIdSchema,
  version: ModelVersionSchema,
  /** Severity of each frame, falling to 0. */
  severities: z.array(z.int().min(0)),
});
export type PlayAnswer = z.infer<typeof PlayAnswerSchema>;

/** The frames of a job behind sequence number `after`; the answer waits up to `waitMs` for a first one. */
export const FramesRequestSchema = z.strictObject({
  job: JobIdSchema,
  after: z.int().min(0),
  waitMs: z.number().min(0).max(10_000),
});
export type FramesRequest = z.infer<typeof FramesRequestSchema>;

/** Images are PNG files. `end` comes with the last frame, or when the job ended without it. */
export const FramesAnswerSchema = z.strictObject({
  frames: z.array(
    z.strictObject({
      /** From 1, without gaps. */
      sequence: z.int().min(1),
      /** s of x_s; 0 for the result. */
      severity: z.int().min(0),
      /** x_s. */
      x: BytesSchema,
      /** x̂0 = R(x_s, s - 1); the result itself at severity 0. */
      estimate: BytesSchema,
    }),
  ),
  end: z
    .strictObject({
      state: z.enum(['done', 'cancelled', 'expired', 'failed']),
      message: z.string().max(2000).optional(),
      /** The image before it was degraded. */
      original: BytesSchema.optional(),
    })
    .optional(),
});
export type FramesAnswer = z.infer<typeof FramesAnswerSchema>;
