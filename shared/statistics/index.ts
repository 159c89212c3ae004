/** Statistics of scores: intervals by resampling. */
export { centredInterval, middle, resample } from './bootstrap.js';
export type { Interval } from './bootstrap.js';
