/** The trainer service: pure core (reduce, optimizer, member); the shell is in io/. */
export * from './reduce/index.js';
export * from './optimizer/index.js';
export * from './kernels/index.js';
export * from './member/index.js';
export { TrainerConfigSchema } from './config.js';
export type { TrainerConfig } from './config.js';
