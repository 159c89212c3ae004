/** The sampler's configuration: one strict schema; every field can be set as `THAW_<FIELD>` in the environment. */
import { channelNames, EngineNameSchema, NameSchema } from '@thaw/shared/protocol';
import { z } from 'zod';

export const SamplerConfigSchema = z.strictObject({
  /** Object store: `file:///folder` or `s3://bucket/prefix?region=...`. */
  storeUrl: z.string().min(1),
  /** Without a broker a sampler works alone: it follows its channel by polling and computes all its jobs itself. */
  natsUrl: z.string().min(1).optional(),
  natsToken: z.string().min(1).optional(),
  natsUser: z.string().min(1).optional(),
  natsPassword: z.string().min(1).optional(),
  /** Run that a bare `version` in a request belongs to; that of the served checkpoint unless given. */
  run: NameSchema.optional(),
  /** Shown with a random incarnation behind it; in Kubernetes the pod's name. */
  name: NameSchema.default('sampler'),
  /** Channel that is loaded ahead of need and served unless a request names another. */
  channel: z.enum(channelNames).default('latest'),
  engine: EngineNameSchema.default('auto'),
  /** Network calls under way at once, one core or GPU each. */
  workers: z.int().min(1).max(64).default(1),
  /** Rows of a network call; calls are padded to the smallest that fits. Sizes that do not give the same bits as the largest are not used. */
  batchSizes: z.array(z.int().min(2).max(256)).min(1).max(8).default([2, 8]),
  /**
   * `constant`: weights are fixed in the programs, with filters transformed once for all batch sizes. `given`: they are given at every
   * call, which takes less memory and more time; the bits of images may differ, so all samplers should have the same.
   */
  weights: z.enum(['constant', 'given']).default('constant'),
  /** Rows that this process computes side by side. */
  maxRows: z.int().min(1).max(4096).default(64),
  /** Rows of accepted, unfinished jobs, beyond which new ones are refused with Retry-After. */
  maxQueuedRows: z.int().min(1).max(100_000).default(256),
  /** Silence after which another sampler is taken for dead. */
  detectionMs: z.int().min(200).max(120_000).default(2000),
  /** How often the channel is looked at when no announcement comes. */
  pollMs: z.int().min(50).max(600_000).default(1000),
  /** Versions kept in memory. */
  keepVersions: z.int().min(1).max(16).default(3),
  host: z.string().default('127.0.0.1'),
  port: z.int().min(0).max(65_535).default(0),
  metricsPort: z.int().min(0).max(65_535).default(0),
  /** Bearer token of the HTTP API and of /metrics; required unless `host` is a loopback address. */
  token: z.string().min(16).optional(),
  /** Host names under which the API may be addressed, beside the bound one and loopback names; `*` for any. */
  allowedHosts: z.array(z.string().min(1)).default([]),
  /** Origins of web pages that may send requests, beside the API's own. */
  allowedOrigins: z.array(z.url()).default([]),
  maxBodyBytes: z
    .int()
    .min(1024)
    .max(256 << 20)
    .default(16 << 20),
  /** Pixels of an image sent by a client. */
  maxPixels: z.int().min(64).max(268_000_000).default(16_000_000),
  /** WebSocket watchers at once. */
  maxWatchers: z.int().min(1).max(10_000).default(256),
  /** How long /v1/restore and /v1/sample.png wait for their result. */
  maxWaitMs: z.int().min(100).max(600_000).default(60_000),
  logLevel: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal']).default('info'),
});
export type SamplerConfig = z.infer<typeof SamplerConfigSchema>;
