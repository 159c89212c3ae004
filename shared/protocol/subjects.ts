/**
 * Every NATS subject of training, in one place. Each carries the run's name, so runs and branches (a branch is a run with its own
 * name) never hear each other. Tokens are names and trainer ids: lower-case letters, digits, hyphens.
 */
import { TrainerIdSchema } from './identifiers.js';
import { NameSchema } from './names.js';

const name = (run: string): string => NameSchema.parse(run);
const trainer = (id: string): string => TrainerIdSchema.parse(id);

/** Control subjects; bodies by `encodeMessage`. */
export const controlSubjects = {
  /** Request: Heartbeat, reply: HeartbeatAnswer. Served by the leader only. */
  heartbeat: (run: string): string => `thaw.${name(run)}.heartbeat`,
  /** Announcement, leader to all. */
  announcement: (run: string): string => `thaw.${name(run)}.announcement`,
  /** StepReport, owner of chunk 0 to the leader and whoever watches. */
  stepReport: (run: string): string => `thaw.${name(run)}.step-report`,
  /** LeaderStatus (services/coordinator/views), leader to the coordinators that stand by. */
  status: (run: string): string => `thaw.${name(run)}.status`,
  /** LeaseHandOut, leader to one trainer. */
  leases: (run: string, id: string): string => `thaw.${name(run)}.leases.${trainer(id)}`,
} as const;

/** Bulk subjects; bodies are frames of bulk-frame.ts. */
export const bulkSubjects = {
  /** To one trainer. */
  to: (run: string, id: string): string => `thaw.${name(run)}.bulk.to.${trainer(id)}`,
  /** To all trainers of the run. */
  all: (run: string): string => `thaw.${name(run)}.bulk.all`,
} as const;
