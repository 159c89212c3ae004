/** Links in memory, on a given clock, for simulation and unit tests. */
export { MemoryBroker, type MemoryBrokerOptions } from './memory-broker.js';
export * from './faults.js';
