/** How much of a training step is computed again for the way back instead of being kept. */
import { z } from 'zod';

/** Levels of the network whose inner values are computed again; 0 is the finest. */
export type Recompute = 'none' | 'all' | readonly number[];

/** As people write it: `none`, `all`, or levels with commas between. */
export const RecomputeTextSchema = z
  .string()
  .regex(/^(none|all|\d{1,2}(,\d{1,2})*)$/, 'must be none, all, or levels like 0,1');

/** @param text that fits {@link RecomputeTextSchema} */
export const recomputeOf = (text: string): Recompute =>
  text === 'none' || text === 'all' ? text : text.split(',').map(Number);
