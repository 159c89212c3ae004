/** The plan object `runs/<run>/plan`: lease of the lead and membership in one (rules 1 to 4). Pure functions only. */
import { z } from 'zod';
import { FingerprintSchema, GenerationSchema, LaneSchema, TrainerIdSchema } from './identifiers.js';
import { NameSchema } from './names.js';

export const PlanMemberSchema = z.strictObject({
  id: TrainerIdSchema,
  /** Ascending, at least one. */
  lanes: z.array(LaneSchema).min(1),
});

export const PlanSchema = z
  .strictObject({
    format: z.literal('thaw.plan/1'),
    run: NameSchema,
    /** The one engine fingerprint of the run; null until the first trainer is admitted. */
    fingerprint: FingerprintSchema.nullable(),
    leader: z.strictObject({
      /** Coordinator name and incarnation; same form as a trainer's id. */
      id: TrainerIdSchema,
      /** Raised by one by whoever takes the lead. */
      epoch: z.int().min(1),
      /** Raised at every renewal, so that the object changes. */
      renewal: z.int().min(0),
      /** The leader left on purpose: a standby need not wait for the time to live. */
      released: z.boolean(),
    }),
    /** Raised by one whenever `members` changes; 0 = no members yet. */
    generation: GenerationSchema,
    /** M: every lane 0..M-1 belongs to exactly one member once there are members. */
    laneCount: z.int().min(1).max(65_536),
    /** Sorted by id. Empty only in generation 0. */
    members: z.array(PlanMemberSchema),
  })
  .superRefine((plan, ctx) => {
    const problem = planProblem(plan);
    if (problem !== undefined) ctx.addIssue({ code: 'custom', message: problem });
  });

export type PlanMember = z.infer<typeof PlanMemberSchema>;
/** See {@link PlanSchema}. */
export type Plan = z.infer<typeof PlanSchema>;

/** What is wrong with the membership of a plan, or undefined. Every plan read or received passes this check. */
export function planProblem(plan: Pick<Plan, 'generation' | 'laneCount' | 'members'>): string | undefined {
  const { members, laneCount } = plan;
  if (members.length === 0) return plan.generation === 0 ? undefined : 'a plan after generation 0 has members';
  if (plan.generation === 0) return 'generation 0 has no members';
  const seen = new Uint8Array(laneCount);
  let count = 0;
  let previousId = '';
  for (const { id, lanes } of members) {
    if (id <= previousId) return 'members are sorted by id, each once';
    previousId = id;
    let previousLane = -1;
    for (const lane of lanes) {
      if (lane <= previousLane) return `the lanes of ${id} are not ascending`;
      previousLane = lane;
      if (lane >= laneCount) return `lane ${lane} does not exist, there are ${laneCount}`;
      if (seen[lane]) return `lane ${lane} has two members`;
      seen[lane] = 1;
      count++;
    }
  }
  return count === laneCount ? undefined : 'a lane has no member';
}

/** Lanes of a trainer in a plan; empty when it is not a member. */
export function lanesOf(plan: Pick<Plan, 'members'>, id: string): readonly number[] {
  return plan.members.find((member) => member.id === id)?.lanes ?? [];
}

/** Owner of a chunk: `sorted(ids)[chunk mod n]`; undefined without members. */
export function ownerOf(plan: Pick<Plan, 'members'>, chunk: number): string | undefined {
  return plan.members[chunk % plan.members.length]?.id;
}
