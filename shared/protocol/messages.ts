/**
 * Every control message between trainers and the coordinator (PROTOCOL.md section 3). Messages state what *is*, not what
 * changed: a lost one is healed by the next, a repeated one changes nothing.
 */
import { z } from 'zod';
import {
  FingerprintSchema,
  GenerationSchema,
  LaneSchema,
  Sha256Schema,
  StepSchema,
  TrainerIdSchema,
} from './identifiers.js';
import { PlanSchema } from './plan.js';
import { NameSchema } from './names.js';

/** Positions of a lane's samples in one permuted shard. */
export const LeaseReadSchema = z.strictObject({
  shard: z.string().min(1).max(512),
  sha256: Sha256Schema,
  offset: z.int().min(0),
  count: z.int().min(1),
});
/** The right and duty to compute a lane for a range of steps, and the samples it may read. */
export const LeaseSchema = z.strictObject({
  epoch: z.int().min(0),
  lane: LaneSchema,
  firstStep: StepSchema,
  stepCount: z.int().min(1),
  generation: GenerationSchema,
  /** partners: of the set whose pictures the lane's images are mixed with; the run's own data set unless given. */
  of: z.literal('partners').optional(),
  reads: z.array(LeaseReadSchema).max(100_000),
});
/** All leases of a member's lanes up to (not including) `throughStep`: the rest of the epoch and the next, of every set that is read. */
export const LeaseHandOutSchema = z.strictObject({
  run: NameSchema,
  to: TrainerIdSchema,
  generation: GenerationSchema,
  throughStep: StepSchema,
  leases: z.array(LeaseSchema).max(100_000),
});

/** One slice of a checkpoint as its writer or confirmer computed it from its own copy. */
export const SliceDigestSchema = z.strictObject({
  slice: z.int().min(0).max(65_535),
  sha256: Sha256Schema,
  bytes: z.int().min(0),
});

/** The scalars of the run state at a boundary. All holders of a boundary have the same. */
export const StateHeadSchema = z.strictObject({
  /** Committed steps. */
  step: StepSchema,
  /** h_step: SHA-256 chain over all totals so far. */
  historyDigest: Sha256Schema,
  /** Adam: beta1 and beta2 to the power of the number of updates, as running products. */
  beta1Product: z.number(),
  beta2Product: z.number(),
  /** Skipped steps in a row up to this boundary. */
  skippedInARow: z.int().min(0),
});

/** Trainer to leader, every heartbeat interval and at once when something in it changed. Answered by {@link HeartbeatAnswerSchema}. */
export const HeartbeatSchema = z.strictObject({
  run: NameSchema,
  id: TrainerIdSchema,
  fingerprint: FingerprintSchema,
  /** Of the newest plan known; 0 without one. Never a reason to ignore the heartbeat (rule 5). */
  generation: GenerationSchema,
  /** Boundary whose state this trainer holds; null without state. */
  step: StepSchema.nullable(),
  /** Follows closely enough to become a member without anybody waiting. A hint. */
  caughtUp: z.boolean(),
  /** SIGTERM was received: take it out of the plan. */
  leaving: z.boolean(),
  /** Smoothed time of one lane, ms: that of all own lanes of a step divided by their number; null before the first. */
  laneMs: z.number().min(0).nullable(),
  /** What leases it holds; null for none. */
  leases: z.strictObject({ generation: GenerationSchema, throughStep: StepSchema }).nullable(),
  /** The copy it holds for a checkpoint and the slices it has finished; null without a copy. Repeated until committed or abandoned. */
  checkpoint: z
    .strictObject({
      head: StateHeadSchema,
      /** Slices uploaded. */
      written: z.array(SliceDigestSchema).max(65_536),
      /** Slices digested from its own copy, not uploaded. */
      confirmed: z.array(SliceDigestSchema).max(65_536),
      /** Slices it uploaded, read back from the store and found equal. */
      readBack: z.array(z.int().min(0)).max(65_536),
    })
    .nullable(),
  /** Set when the run halted at this trainer's boundary. */
  halted: z.strictObject({ step: StepSchema, reason: z.string().max(1000) }).nullable(),
});

/** What the leader knows and wants about checkpoints. */
export const CheckpointNewsSchema = z.strictObject({
  /** Newest boundary whose manifest exists; copies up to it can be dropped. */
  committedStep: StepSchema.nullable(),
  /** Newest boundary given up; copies up to it can be dropped. */
  abandonedStep: StepSchema.nullable(),
});
/** What one trainer is to do for the checkpoint it holds a copy of. */
export const CheckpointDutySchema = z.strictObject({
  step: StepSchema,
  write: z.array(z.int().min(0)),
  confirm: z.array(z.int().min(0)),
  /** Upload, read back from the store, compare: the answer when no second holder is left. */
  readBack: z.array(z.int().min(0)),
});

export const HeartbeatAnswerSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('refused'),
    code: z.enum(['THAW_FINGERPRINT_MISMATCH', 'THAW_RUN_CONFLICT']),
    message: z.string().max(2000),
  }),
  z.strictObject({
    kind: z.literal('accepted'),
    plan: PlanSchema,
    /**
     * member / follower: as the plan says. `last`: leaving, but nobody else is left: stop at the boundary and help with a last
     * checkpoint. `released`: leaving and free to go.
     */
    standing: z.enum(['member', 'follower', 'last', 'released']),
    /** Highest boundary any trainer has reported. */
    maxStep: StepSchema,
    /** Step reports below this step are known; need not be sent again. */
    reportedThrough: StepSchema,
    /** New leases, when those named in the heartbeat do not suffice. */
    leases: LeaseHandOutSchema.nullable(),
    checkpoint: CheckpointNewsSchema.extend({
      /** Take a copy if you are at exactly this boundary (end of the run, last trainer, request). */
      wantedStep: StepSchema.nullable(),
      duty: CheckpointDutySchema.nullable(),
    }),
  }),
]);

/** Leader to all, after a plan was written and after a checkpoint was decided. A hint: heartbeat answers repeat it (rule 5). */
export const AnnouncementSchema = z.strictObject({ plan: PlanSchema, checkpoint: CheckpointNewsSchema });

/** What became known of one step when it was applied. The same bits on every trainer. */
export const StepResultSchema = z.strictObject({
  step: StepSchema,
  /** Mean loss of each lane, in lane order; NaN where the lane was not finite. */
  laneLosses: z.array(z.union([z.number(), z.nan()])).max(65_536),
  /** Lanes with non-finite gradient or loss; not empty = the step had no update. */
  skippedLanes: z.array(LaneSchema),
});
/** Owner of chunk 0 to leader after every step: all results the leader has not acknowledged (`reportedThrough`), oldest first. */
export const StepReportSchema = z.strictObject({
  run: NameSchema,
  id: TrainerIdSchema,
  results: z.array(StepResultSchema).max(1024),
});

export type LeaseRead = z.infer<typeof LeaseReadSchema>;
export type LeaseMessage = z.infer<typeof LeaseSchema>;
export type LeaseHandOut = z.infer<typeof LeaseHandOutSchema>;
export type SliceDigest = z.infer<typeof SliceDigestSchema>;
export type StateHead = z.infer<typeof StateHeadSchema>;
export type Heartbeat = z.infer<typeof HeartbeatSchema>;
export type HeartbeatAnswer = z.infer<typeof HeartbeatAnswerSchema>;
export type AcceptedAnswer = Extract<HeartbeatAnswer, { kind: 'accepted' }>;
export type CheckpointNews = z.infer<typeof CheckpointNewsSchema>;
export type CheckpointDuty = z.infer<typeof CheckpointDutySchema>;
export type Announcement = z.infer<typeof AnnouncementSchema>;
export type StepResult = z.infer<typeof StepResultSchema>;
export type StepReport = z.infer<typeof StepReportSchema>;
