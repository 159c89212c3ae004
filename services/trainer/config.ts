/** The trainer's configuration: one strict schema; every field can be set as `THAW_<FIELD>` in the environment. */
import { EngineNameSchema, NameSchema, RecomputeTextSchema } from '@thaw/shared/protocol';
import { z } from 'zod';

export const TrainerConfigSchema = z.strictObject({
  /** Object store: `file:///folder` or `s3://bucket/prefix?region=...`. */
  storeUrl: z.string().min(1),
  natsUrl: z.string().min(1),
  natsToken: z.string().min(1).optional(),
  natsUser: z.string().min(1).optional(),
  natsPassword: z.string().min(1).optional(),
  run: NameSchema,
  /** Shown with a random incarnation behind it; in Kubernetes the pod's name. */
  name: NameSchema,
  engine: EngineNameSchema.default('auto'),
  /** Engine workers: one per core or GPU that this trainer may use. */
  workers: z.int().min(1).max(64).default(1),
  /** Levels of the network computed again instead of kept: `none`, `all`, or a list like `0,1` (0 is the finest). Changes no bit. */
  recompute: RecomputeTextSchema.default('none'),
  /** Interval of heartbeats; must be the coordinators' own. All other intervals derive from it. */
  heartbeatMs: z.int().min(50).max(30_000).default(500),
  /** Folder of the shard cache. */
  cacheDir: z.string().min(1),
  cacheBytes: z
    .int()
    .min(1 << 20)
    .default(4 * 2 ** 30),
  /** Health and metrics listener; 0 lets the system choose a port, loopback unless a token is set. */
  host: z.string().default('127.0.0.1'),
  /** Bearer token of `/metrics`; required unless `host` is a loopback address. */
  token: z.string().min(16).optional(),
  metricsPort: z.int().min(0).max(65_535).default(0),
  logLevel: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal']).default('info'),
});
export type TrainerConfig = z.infer<typeof TrainerConfigSchema>;
