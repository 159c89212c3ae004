/** How a server's error travels back to the requester: a JSON body, marked by one header. Pure. */
import { errorRegistry, ThawError, type ErrorBody, type ErrorCode } from '@thaw/shared/protocol';

/** Header whose presence says that the reply is an error body. */
export const errorHeader = 'Thaw-Error';

/** Only a ThawError's sentence is for others; anything else may hold secrets and becomes THAW_INTERNAL. */
export function encodeReplyError(error: unknown): { code: ErrorCode; body: Uint8Array } {
  const known =
    error instanceof ThawError ? error : new ThawError('THAW_INTERNAL', 'The service failed while it answered.');
  return { code: known.code, body: Buffer.from(JSON.stringify(known.toBody())) };
}

export function decodeReplyError(body: Uint8Array): ThawError {
  try {
    const { code, message, cure, details } = JSON.parse(Buffer.from(body).toString('utf8')) as Partial<ErrorBody>;
    if (typeof code === 'string' && Object.hasOwn(errorRegistry, code) && typeof message === 'string')
      return new ThawError(code, message, {
        ...(typeof cure === 'string' ? { cure } : {}),
        ...(details ? { details } : {}),
      });
  } catch {
    // not what we send
  }
  return new ThawError('THAW_INTERNAL', 'The service answered with an error that cannot be read.');
}
