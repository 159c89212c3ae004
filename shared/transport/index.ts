/**
 * How processes talk: control link, bulk link, broker. The only room that knows NATS.
 * `connectControl`, `connectBulk`, `startBroker`, `watchDisconnects`, and `MemoryBroker` for simulation.
 */
export type * from './links.js';
export * from './control/index.js';
export * from './bulk/index.js';
export * from './broker/index.js';
export * from './memory/index.js';
export * from './kernel/index.js';
