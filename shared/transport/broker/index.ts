/** Brokers: the embedded one, nats-server as a child process, or one given by URL. */
export type * from './handle.js';
export { startBroker } from './io/start.js';
export { startEmbeddedBroker, type EmbeddedBroker, type EmbeddedOptions } from './io/embedded.js';
export { inspectNatsServer } from './io/nats-server.js';
export { watchDisconnects } from './io/disconnects.js';
