/** Integer sums of contributions. Pure. */
export { addInt32, Int32Sums } from './int32-sums.js';
