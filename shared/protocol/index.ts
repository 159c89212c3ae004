/** What two processes agree on: run files, control messages, subjects, error codes and the codec. See PROTOCOL.md. */
export * from './errors.js';
export * from './codec.js';
export * from './run-config.js';
export * from './sampler-messages.js';
