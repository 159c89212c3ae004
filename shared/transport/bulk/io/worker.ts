/** Entry of the bulk client's worker thread. */
import { parentPort, workerData } from 'node:worker_threads';
import type { BulkWorkerSettings, ToWorker } from '../worker-messages.js';
import { BulkClient } from './client.js';

const owner = parentPort;
if (!owner) throw new Error('bulk/io/worker runs as a worker thread only');
const client = new BulkClient(workerData as BulkWorkerSettings, (message, transfer) =>
  owner.postMessage(message, [...transfer]),
);
owner.on('message', (message: ToWorker) => client.take(message));
await client.run();
owner.close();
