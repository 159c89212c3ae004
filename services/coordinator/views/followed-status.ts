/** The status of the run as its leader tells it, which coordinators that stand by repeat to whoever asks them. No clock, no I/O. */
import { TrainerIdSchema } from '@thaw/shared/protocol';
import { z } from 'zod';
import { StatusSchema, type Status } from './status.js';

/** Leader to the coordinators of the run that stand by, about every second. */
export const LeaderStatusSchema = z.strictObject({
  /** Id of the leader, of the form of a trainer's. */
  leader: TrainerIdSchema,
  /** Of the lead, not of the data: a leader that was replaced has a lower one. */
  epoch: z.int().min(1),
  status: StatusSchema,
});
export type LeaderStatus = z.infer<typeof LeaderStatusSchema>;

export class FollowedStatus {
  readonly #ttlMs: number;
  #newest: { readonly told: LeaderStatus; readonly atMs: number } | undefined;

  /** @param ttlMs after so long without news nobody is followed */
  constructor(ttlMs: number) {
    this.#ttlMs = ttlMs;
  }

  /** A leader that was replaced and does not know it yet is not believed while its successor is heard. */
  heard(told: LeaderStatus, nowMs: number): void {
    const followed = this.#fresh(nowMs);
    if (followed !== undefined && told.epoch < followed.epoch) return;
    this.#newest = { told, atMs: nowMs };
  }

  /** What the leader said last; undefined when none has been heard for the time to live. */
  at(nowMs: number): Status | undefined {
    return this.#fresh(nowMs)?.status;
  }

  #fresh(nowMs: number): LeaderStatus | undefined {
    const newest = this.#newest;
    return newest !== undefined && nowMs - newest.atMs <= this.#ttlMs ? newest.told : undefined;
  }
}
