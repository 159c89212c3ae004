import type { InferenceSession } from 'onnxruntime-node';

/**
 * One thread, one order of operations, no memory pattern (it keeps the first run's arena and doubles the peak).
 * Errors come back in the rejection, so nothing is logged.
 */
export const sessionOptions = (provider: string): InferenceSession.SessionOptions => ({
  executionProviders: [provider],
  graphOptimizationLevel: 'all',
  executionMode: 'sequential',
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  enableCpuMemArena: true,
  enableMemPattern: false,
  logSeverityLevel: 4,
});
