import type { GraphBuilder } from '../builder.js';
import type { Candidate, Value } from '../value.js';

/**
 * One simplification. `apply` returns the value that stands for the candidate, or undefined where the rule does not
 * apply. Rules are tried in order; the result of `apply` is normally built through the builder, so that it is
 * simplified further. Every rule keeps shape and dtype, and keeps values up to rounding for finite numbers
 * (`x * 0` is 0 even where x is infinite or not a number).
 */
export interface Rule {
  readonly name: string;
  readonly ops: readonly string[];
  apply(builder: GraphBuilder, candidate: Candidate): Value | undefined;
}
