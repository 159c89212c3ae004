/** Fixed-point gradient sums: layout of blocks and chunks, exponents, quantising. */
export * from './layout.js';
export * from './fixed-point.js';
