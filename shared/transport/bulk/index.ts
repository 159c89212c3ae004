/** Tensors between trainers: our own NATS client in a worker thread. */
export { connectBulk } from './io/worker-bulk-link.js';
