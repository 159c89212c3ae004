/** The trainer's state machine. */
export * from './events.js';
