/** Where a trainer's first state comes from: the newest checkpoint that verifies, or the initial weights of the run's seed. */
import { initialWeights } from '@thaw/shared/model';
import type { RunConfig } from '@thaw/shared/protocol';
import type { Logger } from '@thaw/shared/runtime';
import { loadCheckpoint, newestCheckpoint, type ObjectStore } from '@thaw/shared/storage';
import { emptyArrays, initialState } from '../member/index.js';
import type { LoadedState } from '../member/events.js';
import { flatWeights, fromRunState, type StateLayout } from '../state/official-order.js';

export async function loadNewestState(
  store: ObjectStore,
  run: RunConfig,
  state: StateLayout,
  logger: Logger,
): Promise<LoadedState> {
  const newest = await newestCheckpoint(store, run.name, (problem, step) =>
    logger.error('A checkpoint cannot be read; an older one is taken', {
      step,
      code: problem.code,
      problem: problem.message,
    }),
  );
  if (newest === undefined) {
    const weights = flatWeights(state, initialWeights(run.network, run.data, run.seed));
    return initialState(run.name, weights, state.layout.blockCount);
  }
  const arrays = emptyArrays(state.layout);
  const loaded = await loadCheckpoint(store, run.name, newest.manifest.step);
  return { head: fromRunState(state, loaded.state, arrays), arrays };
}
