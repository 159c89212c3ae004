import type { GoldenCase } from '../vectors.js';

/** Computes the outputs of the golden cases it covers. */
export interface Runner {
  /** Matches the ids of its cases. */
  readonly covers: RegExp;
  /** Outputs not computed, with the reason. */
  readonly omits?: Readonly<Record<string, string>>;
  /** Outputs by name, official layouts (NCHW, OIHW). */
  run(golden: GoldenCase): Record<string, ArrayLike<number>> | Promise<Record<string, ArrayLike<number>>>;
}
