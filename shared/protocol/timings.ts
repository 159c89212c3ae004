/** All intervals of the training protocol follow from one setting. */
export interface Timings {
  /** Interval of a trainer's heartbeats, ms. The one setting. */
  readonly heartbeatMs: number;
  /** Without a heartbeat for so long a member is judged dead. */
  readonly detectionMs: number;
  /** A standby that sees the plan object unchanged for so long takes the lead. */
  readonly leadTtlMs: number;
  /** The leader renews at this interval. */
  readonly renewMs: number;
  /** A trainer without progress for so long asks for what it lacks, and again at this interval. */
  readonly wantMs: number;
  /** A trainer without progress for so long reads the plan object, and again at this interval. */
  readonly stallMs: number;
  /** How long offers of state are collected. */
  readonly offerMs: number;
  /** A checkpoint without any news for so long is abandoned. */
  readonly checkpointMs: number;
  /** A leaving trainer goes after so long, whatever it has heard. */
  readonly leaveMs: number;
}

/** Derives every interval from the heartbeat's. */
export function deriveTimings(heartbeatMs: number): Timings {
  return {
    heartbeatMs,
    detectionMs: 4 * heartbeatMs,
    leadTtlMs: 6 * heartbeatMs,
    renewMs: 2 * heartbeatMs,
    wantMs: heartbeatMs,
    stallMs: 3 * heartbeatMs,
    offerMs: heartbeatMs,
    checkpointMs: 120 * heartbeatMs,
    leaveMs: 4000,
  };
}
