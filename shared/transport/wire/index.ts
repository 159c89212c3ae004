/** The NATS client protocol as bytes: incremental framing and the meaning of lines. Pure; shared by client and broker. */
export * from './frame-reader.js';
export * from './client-lines.js';
export * from './server-lines.js';
