/**
 * What goes into the trainer machine and what comes out of it. The shell (`io/`) turns messages, timers and finished work into
 * events, calls `trainer.handle(event, nowMs)` and performs the returned effects **in order, before the next `handle`**.
 *
 * Lifetimes. Arrays in an event belong to the machine until it says otherwise; arrays in an effect are only valid until the next
 * `handle` (the shell copies or writes them before), except where noted.
 */
import type {
  AcceptedAnswer,
  Announcement,
  ErrorCode,
  Heartbeat,
  HeartbeatAnswer,
  LeaseHandOut,
  LeaseMessage,
  Plan,
  RunConfig,
  StateHead,
  StepReport,
  StepResult,
  Timings,
} from '@thaw/shared/protocol';
import type { ArrayKernels } from '../kernels/index.js';
import type { Layout } from '../reduce/layout.js';

/**
 * The run state that training evolves, flat, in the engine's stored order, little-endian. The shell allocates it (SharedArrayBuffers, so
 * that workers read `weights` in place); the machine alone writes it, and only inside `handle`.
 */
export interface TrainingArrays {
  /** [valueCount] */
  readonly weights: Float32Array;
  /** [valueCount] moving average of the weights. */
  readonly ema: Float32Array;
  /** [valueCount] Adam's first moment. */
  readonly firstMoment: Float32Array;
  /** [valueCount] Adam's second moment. */
  readonly secondMoment: Float32Array;
  /** [blockCount] base exponents of the coming step. */
  readonly exponents: Int8Array;
}

/** A whole run state from the newest checkpoint, or step 0 (initial weights, see `initialHead`). */
export interface LoadedState {
  readonly head: StateHead;
  readonly arrays: TrainingArrays;
}

export interface TrainerOptions {
  readonly run: string;
  /** Name and random incarnation. */
  readonly id: string;
  readonly fingerprint: string;
  readonly layout: Layout;
  /** M. */
  readonly laneCount: number;
  /** Boundary at which the run is complete. */
  readonly steps: number;
  readonly optimizer: RunConfig['optimizer'];
  readonly ema: RunConfig['ema'];
  readonly maxSkippedSteps: number;
  readonly checkpointEverySteps: number;
  readonly timings: Timings;
  /** Filled by the machine. */
  readonly arrays: TrainingArrays;
  /** The loops over all values, the plain ones unless given; every implementation gives the same bits. */
  readonly kernels?: ArrayKernels;
  /** Values that one event handles at most, about; large networks take several. */
  readonly sliceValues?: number;
}

export type TrainerEvent =
  /** First event; the machine starts to look for state and to send heartbeats. */
  | { readonly kind: 'start' }
  /** Every quarter of a heartbeat interval or more often; drives everything that waits. */
  | { readonly kind: 'tick' }
  /** Answer to the effect of that name. */
  | { readonly kind: 'continue' }
  /**
   * A lane was computed at the weights of `step`. `gradient` [valueCount]: mean over the lane's micro-batch, flat in stored order; it
   * belongs to the machine until `releaseGradient`. `loss`: mean over the micro-batch.
   */
  | {
      readonly kind: 'laneDone';
      readonly step: number;
      readonly lane: number;
      readonly loss: number;
      readonly gradient: Float32Array;
      readonly computeMs: number;
    }
  /** A lane could not be computed (not for a cancelled one). It is asked for again after a while. */
  | { readonly kind: 'laneFailed'; readonly step: number; readonly lane: number; readonly message: string }
  /** A bulk message from either bulk subject; any bytes. The machine copies what it keeps. */
  | { readonly kind: 'frame'; readonly bytes: Uint8Array }
  /** Answer to `readPlan`; undefined when the object is absent or the store did not answer. */
  | { readonly kind: 'planRead'; readonly plan: Plan | undefined }
  | { readonly kind: 'announcement'; readonly announcement: Announcement }
  | { readonly kind: 'heartbeatAnswer'; readonly answer: HeartbeatAnswer }
  | { readonly kind: 'leases'; readonly handOut: LeaseHandOut }
  /** Answer to `loadState`. The machine copies it if it still has no newer state. */
  | { readonly kind: 'stateLoaded'; readonly state: LoadedState }
  /** `loadState` failed; it is asked for again after a while. */
  | { readonly kind: 'stateLoadFailed'; readonly message: string }
  /** Answers to `writeSlice` and `digestSlice`. `readBack`: it was read from the store again and was equal. */
  | {
      readonly kind: 'sliceWritten';
      readonly step: number;
      readonly slice: number;
      readonly sha256: string;
      readonly bytes: number;
      readonly readBack: boolean;
    }
  | {
      readonly kind: 'sliceDigested';
      readonly step: number;
      readonly slice: number;
      readonly sha256: string;
      readonly bytes: number;
    }
  | { readonly kind: 'sliceFailed'; readonly step: number; readonly slice: number; readonly message: string }
  /** SIGTERM. */
  | { readonly kind: 'leave' };

export type FrameType = 'contribution' | 'raise' | 'total' | 'want' | 'offer' | 'request' | 'range';

export type TrainerEffect =
  /** Compute one lane at the present weights; answer `laneDone` or `laneFailed`. Samples come from the leases held (wait for one if need be). */
  | { readonly kind: 'computeLane'; readonly step: number; readonly lane: number }
  /** Stop queued and running lanes of steps up to and including `step`: the weights have changed (rule 7). Their results are ignored anyway. */
  | { readonly kind: 'cancelLanes'; readonly step: number }
  /** Stop one queued or running lane: the plan gave it to somebody else. */
  | { readonly kind: 'cancelLane'; readonly step: number; readonly lane: number }
  /** The machine no longer reads this array, given by `laneDone`; reuse it. */
  | { readonly kind: 'releaseGradient'; readonly gradient: Float32Array }
  /** Publish the concatenation of `parts` on `bulkSubjects.all(run)` or `bulkSubjects.to(run, to)`. */
  | {
      readonly kind: 'sendFrame';
      readonly to: 'all' | { readonly id: string };
      readonly type: FrameType;
      readonly parts: readonly Uint8Array[];
    }
  /** Request on `controlSubjects.heartbeat`; the reply comes back as `heartbeatAnswer`; without a reply nothing comes back. */
  | { readonly kind: 'heartbeat'; readonly message: Heartbeat }
  | { readonly kind: 'stepReport'; readonly message: StepReport }
  /** Read `runs/<run>/plan`; answer `planRead`. */
  | { readonly kind: 'readPlan' }
  /** Load the newest checkpoint, or the initial state when there is none; answer `stateLoaded` or `stateLoadFailed`. */
  | { readonly kind: 'loadState' }
  /** Keep this copy of the state at boundary `head.step` for a checkpoint, in place of an older one. Nobody writes to it any more; on shared memory. */
  | { readonly kind: 'copyState'; readonly head: StateHead; readonly arrays: TrainingArrays }
  /** There is more to do with large arrays: answer `continue` soon, after whatever else the process has to do. Never two at a time. */
  | { readonly kind: 'continue' }
  /** The copy of this step is no longer needed. */
  | { readonly kind: 'dropCopy'; readonly step: number }
  /** Encode this slice of the copy and put it as a blob; with `readBack`, read it from the store again and compare. Answer `sliceWritten`/`sliceFailed`. */
  | { readonly kind: 'writeSlice'; readonly step: number; readonly slice: number; readonly readBack: boolean }
  /** Encode this slice of the copy and digest it, no upload. Answer `sliceDigested`/`sliceFailed`. */
  | { readonly kind: 'digestSlice'; readonly step: number; readonly slice: number }
  /** These leases take the place of all held before: they cover every lane of this trainer from its boundary on. */
  | { readonly kind: 'holdLeases'; readonly leases: readonly LeaseMessage[] }
  /**
   * A newer plan governs; `lanes` are this trainer's (none: follower). Leases of other lanes are void at once; those of lanes that stay are
   * good until `holdLeases`.
   */
  | { readonly kind: 'planAdopted'; readonly plan: Plan; readonly lanes: readonly number[] }
  /** `arrays` hold boundary `head.step` of somebody else's making. */
  | { readonly kind: 'stateTaken'; readonly head: StateHead; readonly from: 'checkpoint' | 'snapshot' }
  /** A step was applied (or skipped). For logs, metrics and progress. */
  | { readonly kind: 'stepApplied'; readonly result: StepResult; readonly head: StateHead }
  /** Something that must never happen; log it as an error. The machine has already refused whatever caused it. */
  | { readonly kind: 'alarm'; readonly code: ErrorCode; readonly message: string }
  /** All steps are done. The trainer stays, donates its state and helps with the last checkpoint. */
  | { readonly kind: 'finished'; readonly step: number }
  | { readonly kind: 'halted'; readonly step: number; readonly reason: string }
  /** The leader does not accept this trainer; stop with this error. */
  | { readonly kind: 'refused'; readonly code: ErrorCode; readonly message: string }
  /** Everything is given back: flush the links and exit 0. */
  | { readonly kind: 'left' };

/** Convenience for shells and tests. */
export type { AcceptedAnswer };
