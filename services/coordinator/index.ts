/** The coordinator service: pure core (lead); the shell is in io/. */
export * from './lead/index.js';
