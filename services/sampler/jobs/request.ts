/** What a client may ask for: the body of `POST /v1/jobs`. */
import {
  channelNames,
  parseFields,
  NameSchema,
  SamplingAlgorithmSchema,
  ThawError,
  type ChannelName,
} from '@thaw/shared/protocol';
import { z } from 'zod';

/** Images of a block of an evaluation. */
export const mostBlockImages = 256;

const hex = (digits: number): z.ZodString =>
  z.string().regex(new RegExp(`^[0-9a-f]{${digits}}$`), `must be ${digits} hexadecimal digits`);

/** What a block of an evaluation is of. */
const BlockRequestSchema = z.strictObject({
  split: z.enum(['test', 'train']).default('test'),
  first: z.int().min(0).describe('Number of the first image of the split; `count` consecutive ones are restored.'),
  manifestSha256: hex(64).describe('The checkpoint that is meant, as GET /v1/estimates names it.'),
  fingerprint: hex(64).describe('As GET /v1/estimates gives it; samplers that would compute other bits refuse.'),
  key: hex(32).describe('Chosen by the client: a request sent again with the same key is the same job.'),
});

export const JobRequestSchema = z
  .strictObject({
    mode: z
      .enum(['sample', 'generate', 'restore', 'evaluate'])
      .default('sample')
      .describe(
        'sample: held-out test images, chosen by the seed, are degraded and restored. generate: images from nothing (blur and super-resolution need a prior, see `thaw fit-prior`; noise, colour masks and animorphosis need none). restore: the image given is restored. evaluate: a block of an evaluation, below the other jobs; DELETE it when its rows are fetched.',
      ),
    evaluation: BlockRequestSchema.optional().describe('For evaluate, with `run` and `version`.'),
    count: z.int().min(1).max(4096).default(1).describe('Number of images; 1 for restore, at most 256 for evaluate.'),
    seed: z
      .int()
      .min(0)
      .max(2 ** 32 - 1)
      .default(0)
      .describe('Equal seeds give equal bytes for one version.'),
    channel: z
      .string()
      .optional()
      .describe('Channel whose present checkpoint is used: latest, candidate, canary, stable.'),
    version: z.int().min(0).optional().describe('Checkpoint step to use instead of a channel.'),
    run: NameSchema.optional().describe('Run that `version` belongs to; that of the served channel unless given.'),
    sampler: SamplingAlgorithmSchema.default('algorithm2').describe(
      'ddim: noise and animorphosis only. step: for runs trained with the routines Step, Step_Gradient and Gradient_norm only.',
    ),
    severity: z.int().min(1).optional().describe('Severity of the start image, 1..T; T unless given.'),
    sampleSteps: z
      .int()
      .min(1)
      .optional()
      .describe(
        'sample, and restore with `degrade`: sampling starts at this severity though the image is degraded to `severity` (a debugging aid of the official code, its `sample_steps`); at `severity` unless given.',
      ),
    freshNoise: z
      .boolean()
      .optional()
      .describe(
        'algorithm1 of a model of noise: every state is mixed with new noise; with that of the start unless true.',
      ),
    calls: z
      .int()
      .min(1)
      .optional()
      .describe('Number of network calls, spread evenly over the severities; one per severity unless given.'),
    image: z
      .base64()
      .optional()
      .describe(
        'PNG, JPEG, or safetensors with one F32 tensor "image" [height, width, channels] in [-1, 1], for restore.',
      ),
    convert: z
      .boolean()
      .optional()
      .describe(
        'restore: a model of colour images takes a greyscale PNG or JPEG (its values are repeated), and a model of greyscale images one with colours in it (as their luma). Either is refused unless this is true.',
      ),
    degrade: z.boolean().optional().describe('restore: the image is clean; degrade it to `severity` first.'),
    noise: z
      .number()
      .min(0)
      .max(1)
      .optional()
      .describe(
        'Deviation of normal noise added to the start. generate: it breaks the symmetry of the start and stays; 0.002 for blur unless given, else none. sample and restore: it is taken off the result again (officially 0.001); none unless given.',
      ),
    prior: z
      .string()
      .regex(/^[0-9a-f]{64}$/, 'must be 64 hexadecimal digits')
      .optional()
      .describe('generate: SHA-256 of a prior to start from instead of the checkpoint’s own (see `thaw fit-prior`).'),
    deadlineMs: z.number().optional().describe('Milliseconds from now after which the result is worthless.'),
    framesPerSecond: z
      .number()
      .min(0.1)
      .max(60)
      .optional()
      .describe('Keep frames for /v1/jobs/{id}/frames and send them at this rate.'),
  })
  .superRefine((request, context) => {
    const issue = (path: string, message: string): void => context.addIssue({ code: 'custom', path: [path], message });
    if (request.mode === 'restore' && request.image === undefined) issue('image', 'is needed for mode "restore"');
    if (request.mode === 'restore' && request.count !== 1) issue('count', 'must be 1 for mode "restore"');
    if (request.mode !== 'restore' && request.image !== undefined) issue('image', 'is for mode "restore" only');
    if (request.mode !== 'restore' && request.convert !== undefined) issue('convert', 'is for mode "restore" only');
    if (request.mode !== 'restore' && request.degrade !== undefined) issue('degrade', 'is for mode "restore" only');
    if (request.sampleSteps !== undefined && request.mode !== 'sample' && request.degrade !== true)
      issue('sampleSteps', 'is for mode "sample", and for "restore" with `degrade`');
    if (request.freshNoise === true && request.sampler !== 'algorithm1')
      issue('freshNoise', 'is for the sampler "algorithm1" only');
    if (request.mode === 'generate' && request.severity !== undefined) issue('severity', 'generation starts from T');
    if (request.mode !== 'generate' && request.prior !== undefined) issue('prior', 'is for mode "generate" only');
    if (request.channel !== undefined && request.version !== undefined)
      issue('version', 'give a channel or a version, not both');
    if (request.mode !== 'evaluate' && request.evaluation !== undefined)
      issue('evaluation', 'is for mode "evaluate" only');
    if (request.mode === 'evaluate') {
      for (const name of ['evaluation', 'run', 'version'] as const)
        if (request[name] === undefined) issue(name, 'is needed for mode "evaluate"');
      for (const name of ['severity', 'noise', 'freshNoise', 'deadlineMs', 'framesPerSecond'] as const)
        if (request[name] !== undefined) issue(name, 'is not for mode "evaluate"');
      if (request.count > mostBlockImages) issue('count', `a block has at most ${mostBlockImages} images`);
    }
    if (request.run !== undefined && request.version === undefined) issue('run', 'is for use with `version`');
  });
export type JobRequest = z.output<typeof JobRequestSchema>;

/**
 * Reads the body of a request.
 * @throws ThawError THAW_JOB_INVALID naming every bad field, THAW_CHANNEL_UNKNOWN
 */
export function parseJobRequest(body: unknown): JobRequest {
  const request = parseFields(JobRequestSchema, body, 'THAW_JOB_INVALID', 'body');
  if (request.channel !== undefined) parseChannel(request.channel);
  return request;
}

/** @throws ThawError THAW_CHANNEL_UNKNOWN */
export function parseChannel(name: string): ChannelName {
  const known = channelNames.find((channel) => channel === name);
  if (known === undefined)
    throw new ThawError('THAW_CHANNEL_UNKNOWN', `channel: there is no channel "${name.slice(0, 100)}".`);
  return known;
}
