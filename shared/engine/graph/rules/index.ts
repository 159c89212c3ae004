import { arithmeticRules } from './arithmetic.js';
import { elementwiseRules } from './elementwise.js';
import { geluRules } from './gelu.js';
import { movementRules } from './movement.js';
import { reductionRules } from './reduction.js';
import type { Rule } from './rule.js';

/** All simplification rules in the order in which they are tried. */
export const rules: readonly Rule[] = [
  ...elementwiseRules,
  ...arithmeticRules,
  ...geluRules,
  ...reductionRules,
  ...movementRules,
];
export type { Rule };
