/**
 * How processes talk: control link, bulk link, broker. The only room that knows NATS.
 * `connectControl`, `connectBulk`, `startBroker`, `watchDisconnects`, and `MemoryBroker` for simulation.
 */
import type { BulkLink, BulkOptions, ConnectOptions, ControlLink, Credentials, StopListening } from './links.js';
import type { BrokerHandle, BrokerOptions, DisconnectNotice } from './broker/handle.js';
export type * from './links.js';
export type * from './broker/handle.js';
const todo = (): never => {
  throw new Error('being written');
};
export async function connectControl(_url: string, _options: ConnectOptions): Promise<ControlLink> {
  return todo();
}
export async function connectBulk(_url: string, _options: BulkOptions): Promise<BulkLink> {
  return todo();
}
export async function startBroker(_options: BrokerOptions): Promise<BrokerHandle> {
  return todo();
}
export async function watchDisconnects(_url: string, _credentials: Credentials, _listener: (notice: DisconnectNotice) => void): Promise<StopListening> {
  return todo();
}
