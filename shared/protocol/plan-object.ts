/** The plan object as it lies in the object store: one JSON text, read and written by compare-and-swap. */
import { PlanSchema, type Plan } from './plan.js';
import { NameSchema } from './names.js';
import { ThawError } from './errors.js';

export const planKey = (run: string): string => `runs/${NameSchema.parse(run)}/plan`;

export const encodePlanObject = (plan: Plan): Uint8Array =>
  new TextEncoder().encode(JSON.stringify(PlanSchema.parse(plan)));

/** @throws ThawError THAW_PROTOCOL_INVALID for an object that is no plan of this run. */
export function decodePlanObject(run: string, bytes: Uint8Array): Plan {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new ThawError('THAW_PROTOCOL_INVALID', `The object ${planKey(run)} is not JSON.`, { cause });
  }
  const plan = PlanSchema.safeParse(value);
  if (!plan.success || plan.data.run !== run)
    throw new ThawError('THAW_PROTOCOL_INVALID', `The object ${planKey(run)} is not a plan of the run ${run}.`);
  return plan.data;
}
