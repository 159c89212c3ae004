/** What every engine does with a definition: check it, call it, differentiate it. */
export { checkFixedWeights } from './fixed-weights.js';
export { applyProgram, gradientName } from './apply.js';
export { checkDefinition } from './definition.js';
export { onBackend } from './backend.js';
export { checkCall } from './call.js';
