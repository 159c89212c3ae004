/** Recording: a plain tfjs function and its gradients, run once without computing, become a graph. */
export { trace, traceCalls } from './trace.js';
export type { KernelTape, TapedCall, TapedConstant, TapedOutput } from './tape.js';
export { supportedKernels } from './registry.js';
export type { SupportedKernel } from './registry.js';
