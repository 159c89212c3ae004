/** What generation starts from, bound to checkpoints. */
export { adoptPrior, bindPrior, currentPrior, decodePrior, priorByDigest, priorOf, storePrior } from './priors.js';
export type { StoredPrior, StoredPriorReport } from './priors.js';
export { bindingsOf, priorBindingKey, priorBindingPrefix, readBinding } from './bindings.js';
export type { PriorBinding } from './bindings.js';
