/**
 * What goes into the coordinator's machine and what comes out. The shell calls `lead.handle(event, nowMs)` and performs the effects in
 * order. `nowMs` is the process's own monotonic clock; no two processes compare clocks.
 */
import type {
  Announcement,
  ErrorCode,
  Heartbeat,
  HeartbeatAnswer,
  LeaseHandOut,
  LeaseMessage,
  Plan,
  SliceDigest,
  StateHead,
  StepReport,
  StepResult,
  Timings,
} from '@thaw/shared/protocol';

export interface CoordinatorOptions {
  readonly run: string;
  /** Name and random incarnation. */
  readonly id: string;
  /** M. */
  readonly laneCount: number;
  /** Boundary at which the run is complete. */
  readonly steps: number;
  /** Slices of every checkpoint; the same number for every trainer. */
  readonly sliceCount: number;
  /** Boundary of the newest checkpoint found in the store at start; null for none. */
  readonly committedStep: number | null;
  readonly timings: Timings;
  /** Leases of these lanes from `fromStep` to the end of the following epoch. Pure (shared/data). */
  readonly leasesFor: (
    lanes: readonly number[],
    fromStep: number,
    generation: number,
  ) => { readonly throughStep: number; readonly leases: readonly LeaseMessage[] };
  /** End (not included) of the leases that {@link leasesFor} would give from a step: the end of the following epoch. Pure and cheap. */
  readonly leaseHorizon: (step: number) => number;
  /** Named a straggler: slower than the median of the others by this factor ... */
  readonly stragglerFactor?: number;
  /** ... for so many steps in a row. */
  readonly stragglerSteps?: number;
  /** A straggler loses its membership as well, as long as anybody else is there; it stays as a spare. */
  readonly evictStragglers?: boolean;
  /** Lanes move when a step becomes shorter by this factor. */
  readonly rebalanceGain?: number;
  /** Planned hand-over to another fingerprint: allowed once no member of the old one is alive. */
  readonly adoptFingerprint?: boolean;
}

export type CoordinatorEvent =
  | { readonly kind: 'start' }
  /** Every quarter of a heartbeat interval or more often. */
  | { readonly kind: 'tick' }
  /** Answer to `readPlan`. */
  | { readonly kind: 'planRead'; readonly found: { readonly plan: Plan; readonly etag: string } | undefined }
  /** Answer to `swapPlan`. `swapped: false`: somebody else wrote. */
  | { readonly kind: 'planSwapped'; readonly swapped: boolean; readonly etag?: string }
  /** `readPlan` or `swapPlan` got no answer from the store; whether it was done is unknown. */
  | { readonly kind: 'planFailed'; readonly message: string }
  /** A heartbeat; `request` comes back in exactly one `answer` effect of the same call, or in none when this coordinator does not lead. */
  | { readonly kind: 'heartbeat'; readonly request: number; readonly message: Heartbeat }
  /** The broker says that this trainer's connection is gone. */
  | { readonly kind: 'disconnected'; readonly id: string }
  | { readonly kind: 'stepReport'; readonly message: StepReport }
  /** Answers to `commitManifest` (committed also when it already existed with the same content). */
  | { readonly kind: 'manifestCommitted'; readonly step: number }
  | { readonly kind: 'manifestFailed'; readonly step: number; readonly message: string }
  /** SIGTERM: give the lead up, so that a standby need not wait. */
  | { readonly kind: 'release' };

export type CoordinatorEffect =
  /** Read `runs/<run>/plan`; answer `planRead` or `planFailed`. Never more than one plan operation is outstanding. */
  | { readonly kind: 'readPlan' }
  /** Compare-and-swap the plan object; `expectedEtag` undefined: put if absent. Answer `planSwapped` or `planFailed`. */
  | { readonly kind: 'swapPlan'; readonly plan: Plan; readonly expectedEtag: string | undefined }
  | { readonly kind: 'announce'; readonly announcement: Announcement }
  | { readonly kind: 'answer'; readonly request: number; readonly answer: HeartbeatAnswer }
  | { readonly kind: 'handLeases'; readonly handOut: LeaseHandOut }
  /** All slices are confirmed: write the manifest (put if absent). Answer `manifestCommitted` or `manifestFailed`. */
  | {
      readonly kind: 'commitManifest';
      readonly head: StateHead;
      readonly fingerprint: string;
      readonly slices: readonly SliceDigest[];
    }
  /** Start to serve heartbeats. */
  | { readonly kind: 'lead'; readonly epoch: number; readonly plan: Plan }
  /** Stop serving heartbeats. */
  | { readonly kind: 'stepDown'; readonly reason: string }
  /** The stored plan has changed; for logs, page and metrics. `reason`: who came, went or died. */
  | { readonly kind: 'planChanged'; readonly plan: Plan; readonly reason: string }
  /** A step's result, each step once, ascending; `loss`: mean over lanes, summed in lane order. Gaps are possible after a change of lead. */
  | { readonly kind: 'stepKnown'; readonly result: StepResult; readonly loss: number }
  | { readonly kind: 'checkpointCommitted'; readonly step: number }
  | { readonly kind: 'checkpointAbandoned'; readonly step: number; readonly reason: string }
  | {
      readonly kind: 'straggler';
      readonly id: string;
      readonly laneMs: number;
      readonly medianMs: number;
      readonly evicted: boolean;
    }
  | { readonly kind: 'trainerRefused'; readonly id: string; readonly message: string }
  | { readonly kind: 'alarm'; readonly code: ErrorCode; readonly message: string }
  /** The last step is applied by a trainer and its checkpoint is committed. Once. */
  | { readonly kind: 'finished'; readonly step: number }
  | { readonly kind: 'halted'; readonly step: number; readonly reason: string }
  /** The lead is given up; exit. */
  | { readonly kind: 'released' };

/** What the page and the CLI show of a trainer. */
export interface TrainerView {
  readonly id: string;
  readonly standing: 'member' | 'follower' | 'leaving';
  readonly step: number | null;
  readonly lanes: readonly number[];
  readonly laneMs: number | null;
  readonly lastSeenMs: number;
}
