/** Where a job lives in the object store. */
import { JobIdSchema, ThawError } from '@thaw/shared/protocol';
import { jobPrefix, jobSpecKey, openJobKey, openJobsPrefix } from '@thaw/shared/storage';

/** @throws ThawError THAW_JOB_NOT_FOUND for anything that cannot be an id: no name from a client becomes a key unchecked */
export function parseJobId(text: string): string {
  const id = JobIdSchema.safeParse(text);
  if (!id.success) throw new ThawError('THAW_JOB_NOT_FOUND', `There is no job "${text.slice(0, 64)}".`);
  return id.data;
}

const digits = (value: number, width: number): string => String(value).padStart(width, '0');

export const jobKeys = {
  spec: jobSpecKey,
  /** Start image of `restore`: tensor `image`, uint8 [H, W, C]. */
  input: (id: string): string => `${jobPrefix(id)}input.safetensors`,
  /** Result of a row: tensors `degraded`, `direct`, `sampled` and, where known, `original`, float32 [H, W, C]. */
  result: (id: string, row: number): string => `${jobPrefix(id)}${row}.safetensors`,
  /** A state on the way, after the network was called on it: tensors `x`, `estimate`, `direct`, float32 [H, W, C]. */
  state: (id: string, row: number, severity: number): string =>
    `${jobPrefix(id)}states/${row}-${digits(severity, 5)}.safetensors`,
  statesOf: (id: string, row: number): string => `${jobPrefix(id)}states/${row}-`,
  /** A state given up by a sampler that went away, before the network was called on it: tensors `x`, `direct`. */
  handoff: (id: string, row: number, severity: number): string =>
    `${jobPrefix(id)}handoff/${row}-${digits(severity, 5)}.safetensors`,
  handoffsOf: (id: string, row: number): string => `${jobPrefix(id)}handoff/${row}-`,
  /** Why the job is over; written once. */
  end: (id: string): string => `${jobPrefix(id)}end.json`,
  /** Who keeps an unfinished job; compare-and-swap; deleted at the end. */
  open: openJobKey,
  openPrefix: openJobsPrefix,
} as const;

export { openJobId } from '@thaw/shared/storage';

/** The severity in a key below {@link jobKeys.statesOf}. */
export function stateSeverity(key: string): number | undefined {
  const match = /-(\d{5,})\.safetensors$/.exec(key);
  return match === null ? undefined : Number(match[1]);
}
