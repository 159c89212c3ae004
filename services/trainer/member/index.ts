/** The trainer's state machine. */
export * from './events.js';
export { Trainer } from './trainer.js';
export { initialHead, initialState } from './training-state.js';
export { copyArrays, emptyArrays } from './state-ranges.js';
