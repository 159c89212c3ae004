/** What every engine does with a definition: check it, call it, differentiate it. */
export { checkFixedWeights, withConstantWeights } from './constant.js';
export { applyProgram, gradientName } from './apply.js';
export { checkDefinition } from './definition.js';
export { onBackend } from './backend.js';
export { checkCall } from './call.js';
