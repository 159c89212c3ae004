/** Keeping: who sees to it that an accepted job is finished. */
export { boardAfter, emptyBoard, forgetSilent, rowKey, rowTaken, runningRows } from './board.js';
export type { Board, RowHolder } from './board.js';
export {
  emptyKeeper,
  keeperAfter,
  keeperEffects,
  maxFailures,
  mostSilenceMs,
  offerWindow,
  openRows,
} from './keeper.js';
export type { KeeperEffect, KeeperEvent, KeeperState, KeptJob } from './keeper.js';
