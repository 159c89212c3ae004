import { z } from 'zod';
import { ThawError, type ErrorCode } from './errors.js';

/**
 * The JSON document in the bytes of a stored object.
 * @param where what the object is, as the beginning of a sentence
 * @throws ThawError `code` for bytes that are no JSON or do not fit the schema
 */
export function decodeJson<S extends z.ZodType>(
  bytes: Uint8Array,
  schema: S,
  code: ErrorCode,
  where: string,
): z.output<S> {
  let raw: unknown;
  try {
    raw = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new ThawError(code, `${where} is not JSON.`, { cause });
  }
  const parsed = schema.safeParse(raw);
  if (parsed.success) return parsed.data;
  throw new ThawError(code, `${where} is not as it should be: ${z.prettifyError(parsed.error).slice(0, 2000)}`);
}
