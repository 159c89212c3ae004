/** The coordinator's configuration: one strict schema; every field can be set as `THAW_<FIELD>` in the environment. */
import { channelNames, NameSchema } from '@thaw/shared/protocol';
import { z } from 'zod';

export const CoordinatorConfigSchema = z
  .strictObject({
    /** Object store: `file:///folder` or `s3://bucket/prefix?region=...`. */
    storeUrl: z.string().min(1),
    natsUrl: z.string().min(1),
    natsToken: z.string().min(1).optional(),
    natsUser: z.string().min(1).optional(),
    natsPassword: z.string().min(1).optional(),
    run: NameSchema,
    name: NameSchema.default('coordinator'),
    /** Interval of heartbeats; must be the trainers' own. All other intervals derive from it. */
    heartbeatMs: z.int().min(50).max(30_000).default(500),
    /** Channel to which every checkpoint is promoted. */
    channel: z.enum(channelNames).default('latest'),
    /** Channel that takes an evaluated checkpoint only if its gate lets it in; without it no channel is gated. */
    gatedChannel: z.enum(channelNames).optional(),
    /** By how much a checkpoint may be worse than the one it would replace: RMSE relatively, SSIM absolutely. */
    gateMargin: z.number().min(0).max(1).default(0.02),
    /** Test images of an evaluation; 0 evaluates nothing. */
    evaluationImages: z.int().min(0).max(10_000).default(256),
    /**
     * Checkpoints of this run that stay: the newest n, those at multiples of a step, and whatever a channel serves or can go back to.
     * 0 as the number of the newest keeps all; 0 as the step keeps none for that reason.
     */
    keepCheckpoints: z.int().min(0).default(20),
    keepCheckpointEverySteps: z.int().min(0).default(10_000),
    /** Nothing written more recently is removed; longer than the writing of a checkpoint, and than clocks differ. */
    retentionGraceMs: z.int().min(60_000).default(3_600_000),
    /** Finished jobs of the run's samplers are removed so long after the last of them was written: an hour or more; 0 keeps all. */
    keepJobsMs: z
      .int()
      .refine((ms) => ms === 0 || ms >= 3_600_000, 'must be 0 or at least 3600000 (an hour)')
      .default(7 * 24 * 3_600_000),
    /** A trainer is a straggler when its lanes take so many times as long as the median of the others, for so many steps in a row. */
    stragglerFactor: z.number().min(1.1).max(1000).default(3),
    stragglerSteps: z.int().min(1).default(10),
    /** What happens to it: its name in the log, or its lanes to the others as well. */
    stragglerPolicy: z.enum(['name', 'evict']).default('name'),
    /** Lanes move between trainers when that makes a step shorter by this factor. */
    rebalanceGain: z.number().min(1.05).max(1000).default(1.2),
    host: z.string().default('127.0.0.1'),
    port: z.int().min(0).max(65_535).default(0),
    metricsPort: z.int().min(0).max(65_535).default(0),
    /** Bearer token of the HTTP API; required unless `host` is a loopback address. */
    token: z.string().min(16).optional(),
    /** Host names under which clients reach this service, besides loopback and `host`; `*` allows any. */
    allowedHosts: z.array(z.string()).default([]),
    allowedOrigins: z.array(z.string()).default([]),
    /** Credentials for the broker's system account, where disconnects are announced; without them heartbeats alone tell. */
    natsSystemUser: z.string().min(1).optional(),
    natsSystemPassword: z.string().min(1).optional(),
    /** Ed25519 private key (PEM) that signs channel records. */
    auditKey: z.string().optional(),
    logLevel: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal']).default('info'),
  })
  .refine(({ channel, gatedChannel }) => gatedChannel !== channel, {
    path: ['gatedChannel'],
    message: 'must be another than `channel`, to which every checkpoint is promoted',
  })
  .refine(({ gatedChannel, evaluationImages }) => gatedChannel === undefined || evaluationImages > 0, {
    path: ['evaluationImages'],
    message: 'must be at least 1 when a channel is gated: the gate decides by them',
  });
export type CoordinatorConfig = z.infer<typeof CoordinatorConfigSchema>;
