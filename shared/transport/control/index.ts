/** Small messages between services: events and request/reply. */
export { connectControl } from './io/nats-control-link.js';
