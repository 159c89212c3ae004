/** What two processes agree on: run files, control messages, subjects, error codes and the codec. See PROTOCOL.md. */
export * from './errors.js';
export * from './codec.js';
export * from './run-config.js';
export * from './identifiers.js';
export * from './plan.js';
export * from './messages.js';
export * from './subjects.js';
export * from './timings.js';
export * from './plan-object.js';
export * from './prior.js';
export * from './sampler-messages.js';
export * from './bulk-frame.js';
export * from './lane-assignment.js';
export * from './digests.js';
export * from './errors-table.js';
