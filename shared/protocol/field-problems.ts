/** What a person is told of input that a schema refuses. */
import type { z } from 'zod';
import { ThawError, type ErrorCode } from './errors.js';

/**
 * One sentence for each problem, with its field before it.
 * @param whole what problems of no single field are said of
 */
export const fieldProblems = (error: z.ZodError, whole: string): string[] =>
  error.issues.map(({ path, message }) => `${path.length === 0 ? whole : path.join('.')}: ${message}`);

/** What someone sent, as the schema has it. @throws ThawError `code` naming every bad field; `whole` is what the value itself is called */
export function parseFields<S extends z.ZodType>(
  schema: S,
  value: unknown,
  code: ErrorCode,
  whole: string,
): z.output<S> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new ThawError(code, fieldProblems(parsed.error, whole).join('; ').slice(0, 2000));
}
