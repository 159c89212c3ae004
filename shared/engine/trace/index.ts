/** Recording: a plain tfjs function and its gradients, run once without computing, become a graph. */
export { trace } from './trace.js';
export { supportedKernels } from './registry.js';
export type { SupportedKernel } from './registry.js';
