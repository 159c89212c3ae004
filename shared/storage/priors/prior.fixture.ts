/** A prior of one colour. */
import type { Prior } from '../../protocol/index.js';

export const priorOfColour = (value: number, run = 'trial', channels = 1): Prior => ({
  format: 'thaw.prior/1',
  run,
  severity: 3,
  edge: 1,
  dataset: { name: 'mnist', sha256: 'd'.repeat(64) },
  images: 10,
  seed: 0,
  iterations: 1,
  logLikelihood: 0,
  mixture: {
    weights: [1],
    means: [new Array<number>(channels).fill(value)],
    covariances: [
      Array.from({ length: channels }, (_, i) => Array.from({ length: channels }, (_, j) => (i === j ? 1 : 0))),
    ],
  },
});
