/** What a person is told of input that a schema refuses. */
import type { z } from 'zod';

/**
 * One sentence for each problem, with its field before it.
 * @param whole what problems of no single field are said of
 */
export const fieldProblems = (error: z.ZodError, whole: string): string[] =>
  error.issues.map(({ path, message }) => `${path.length === 0 ? whole : path.join('.')}: ${message}`);
