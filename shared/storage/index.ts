/** Durable state: the object store port with its adapters, safetensors, blobs, checkpoints, channels. */
export * from './store/index.js';
export * from './io/index.js';
export * from './safetensors/index.js';
export * from './blobs/index.js';
export * from './checkpoints/index.js';
export * from './priors/index.js';
export * from './channels/index.js';
export * from './retention/index.js';
export * from './runs/index.js';
