/** Where a job lives in the object store. */
import { JobIdSchema, ThawError } from '@thaw/shared/protocol';

/** @throws ThawError THAW_JOB_NOT_FOUND for anything that cannot be an id: no name from a client becomes a key unchecked */
export function parseJobId(text: string): string {
  const id = JobIdSchema.safeParse(text);
  if (!id.success) throw new ThawError('THAW_JOB_NOT_FOUND', `There is no job "${text.slice(0, 64)}".`);
  return id.data;
}

const digits = (value: number, width: number): string => String(value).padStart(width, '0');

export const jobKeys = {
  spec: (id: string): string => `jobs/${id}/spec.json`,
  /** Start image of `restore`: tensor `image`, uint8 [H, W, C]. */
  input: (id: string): string => `jobs/${id}/input.safetensors`,
  /** Result of a row: tensors `degraded`, `direct`, `sampled` and, where known, `original`, float32 [H, W, C]. */
  result: (id: string, row: number): string => `jobs/${id}/${row}.safetensors`,
  /** A state on the way, after the network was called on it: tensors `x`, `estimate`, `direct`, float32 [H, W, C]. */
  state: (id: string, row: number, severity: number): string =>
    `jobs/${id}/states/${row}-${digits(severity, 5)}.safetensors`,
  statesOf: (id: string, row: number): string => `jobs/${id}/states/${row}-`,
  /** A state given up by a sampler that went away, before the network was called on it: tensors `x`, `direct`. */
  handoff: (id: string, row: number, severity: number): string =>
    `jobs/${id}/handoff/${row}-${digits(severity, 5)}.safetensors`,
  handoffsOf: (id: string, row: number): string => `jobs/${id}/handoff/${row}-`,
  /** Why the job is over; written once. */
  end: (id: string): string => `jobs/${id}/end.json`,
  /** Who keeps an unfinished job; compare-and-swap; deleted at the end. */
  open: (id: string): string => `open-jobs/${id}.json`,
  openPrefix: 'open-jobs/',
} as const;

/** The id in a key below {@link jobKeys.openPrefix}. */
export function openJobId(key: string): string | undefined {
  const id = JobIdSchema.safeParse(key.slice(jobKeys.openPrefix.length).replace(/\.json$/, ''));
  return id.success ? id.data : undefined;
}

/** The severity in a key below {@link jobKeys.statesOf}. */
export function stateSeverity(key: string): number | undefined {
  const match = /-(\d{5,})\.safetensors$/.exec(key);
  return match === null ? undefined : Number(match[1]);
}
