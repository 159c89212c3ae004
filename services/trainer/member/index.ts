/** The trainer's state machine. */
export * from './events.js';
export { Trainer } from './trainer.js';
export { initialHead, initialState } from './training-state.js';
export { emptyArrays } from './state-ranges.js';
// Parts, for tests that replace one of them.
export { ChunkOwner } from './chunk-owner.js';
export { StepWork } from './step-work.js';
export { TrainingState } from './training-state.js';
