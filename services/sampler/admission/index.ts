/** Admission: which jobs are taken, and when to come back with one that is not. */
export { refusal, retryAfterSeconds } from './admission.js';
export type { AdmissionLimits, AdmissionRequest, AdmissionState } from './admission.js';
export { drainWindowMs, noDrain, rowFinished, rowsPerSecond } from './drain-rate.js';
export type { DrainRate } from './drain-rate.js';
