/** Gates: whether a checkpoint may be served, by what was measured. */
export { judge, unproven, type GateCheck, type Verdict } from './judge.js';
