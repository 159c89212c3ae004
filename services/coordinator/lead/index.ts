/** The coordinator's state machine. */
export * from './events.js';
export { Coordinator } from './coordinator.js';
