/** What a failed S3 request means for whoever sent it. */

/**
 * - `absent`: there is no such object (or bucket: then everything fails this way).
 * - `precondition`: a condition did not hold; nothing was written.
 * - `conflict`: another conditional write was under way; nothing was written; worth repeating.
 * - `beyond`: the range begins at or after the end.
 * - `transient`: the request may or may not have been carried out; worth repeating.
 * - `refused`: not allowed, or not understood; repeating does not help.
 */
export type S3Failure = 'absent' | 'precondition' | 'conflict' | 'beyond' | 'transient' | 'refused';

const transientCodes = new Set([
  'RequestTimeout',
  'SlowDown',
  'Throttling',
  'ThrottlingException',
  'TooManyRequests',
  'InternalError',
]);

export function classify(error: unknown): S3Failure {
  const { name, status } = facts(error);
  if (name === 'NoSuchBucket') return 'refused';
  if (transientCodes.has(name)) return 'transient';
  if (status === undefined) return name === 'CredentialsProviderError' ? 'refused' : 'transient';
  if (status === 404) return 'absent';
  if (status === 409) return 'conflict';
  if (status === 412) return 'precondition';
  if (status === 416) return 'beyond';
  // A success status with an error: the answer broke off or was not understood.
  return status >= 500 || status === 429 || status === 408 || status < 300 ? 'transient' : 'refused';
}

function facts(error: unknown): { name: string; status: number | undefined } {
  if (typeof error !== 'object' || error === null) return { name: '', status: undefined };
  const { name, $metadata } = error as { name?: unknown; $metadata?: { httpStatusCode?: unknown } };
  const status = $metadata?.httpStatusCode;
  return { name: typeof name === 'string' ? name : '', status: typeof status === 'number' ? status : undefined };
}
