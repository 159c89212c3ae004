/** The coordinator's state machine. */
export * from './events.js';
