import type { Value } from '../graph/index.js';
import type { OnnxEmitter } from './emitter.js';
import type { Layouts } from './layouts.js';
import type { ResolvedOptions } from './options.js';
import type { PreparedWeights } from './prepared-weights.js';

/** What lowering one value may use. */
export interface LoweringContext {
  readonly emitter: OnnxEmitter;
  readonly layouts: Layouts;
  readonly options: ResolvedOptions;
  /** Takes what is made of fixed weights, where options say so (`preparesWeights`). */
  readonly prepared: PreparedWeights;
  /** The bias that is to be added to a convolution's result. */
  biasOf(convolution: Value): Value | undefined;
}

/** Emits the nodes of one value and places it in the layouts. */
export type Lowering = (context: LoweringContext, value: Value) => void;
