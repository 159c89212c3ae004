/** The loops over all values of a network: in plain TypeScript, and as SIMD with the same bits. */
export * from './kernels.js';
export { plainKernels } from './plain.js';
export { simdKernels, type SimdOptions } from './simd.js';
export { probeKernels } from './probe.js';
