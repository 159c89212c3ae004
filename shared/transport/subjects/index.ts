/** Subjects, patterns and the index that finds who listens. Pure. */
export * from './subject.js';
export * from './subscription-index.js';
