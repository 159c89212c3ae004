/** The coordinator service: pure core (lead); the shell is in io/. */
export * from './lead/index.js';
export { CoordinatorConfigSchema } from './config.js';
export type { CoordinatorConfig } from './config.js';
export { StatusSchema } from './views/status.js';
export type { Status, StepPoint } from './views/status.js';
