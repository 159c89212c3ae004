/** Adam and the moving average: exact arithmetic on flat arrays. */
export * from './adam.js';
export * from './average.js';
