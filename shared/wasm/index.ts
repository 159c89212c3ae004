/** A small WebAssembly assembler and what runs its modules: SIMD loops without a build step and without binary files. Pure. */
export * from './assembler.js';
export * from './run.js';
