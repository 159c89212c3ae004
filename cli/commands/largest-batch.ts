/** The largest micro-batch that fits: doubling, then halving the gap, as few and as small trials as possible. Pure. */

export interface Trial {
  readonly microBatch: number;
  /** Peak memory of a process that runs the step; undefined: not run, or stopped before its peak. */
  readonly peakBytes: number | undefined;
  readonly fits: boolean;
  /** Why it was not measured to its end. */
  readonly note?: string;
}

export interface BatchSearch {
  /** 0: not even the smallest fits. */
  readonly largest: number;
  /** The next one is known not to fit, or the greatest was reached. */
  readonly complete: boolean;
  /** In the order in which they were made. */
  readonly trials: readonly Trial[];
}

export interface BatchSearchOptions {
  readonly smallest: number;
  readonly greatest: number;
  readonly limitBytes: number;
  readonly measure: (microBatch: number) => Promise<Trial>;
  /** No further trial once this is true. */
  readonly timeIsUp: () => boolean;
}

export async function searchLargestBatch(options: BatchSearchOptions): Promise<BatchSearch> {
  const { smallest, greatest, measure, timeIsUp } = options;
  const trials: Trial[] = [];
  let fitting = smallest - 1;
  let tooLarge = greatest + 1;
  while (tooLarge - fitting > 1) {
    if (timeIsUp()) return { largest: fitting < smallest ? 0 : fitting, complete: false, trials };
    const next = nextBatch(fitting, tooLarge, options);
    const expected = expectedBytes(trials, next);
    // Memory grows with the batch: what is certainly too much is not tried on a machine that others use.
    const trial: Trial =
      expected !== undefined && expected > 1.25 * options.limitBytes
        ? { microBatch: next, peakBytes: undefined, fits: false, note: 'expected above the limit' }
        : await measure(next);
    trials.push(trial);
    if (trial.fits) fitting = next;
    else tooLarge = next;
  }
  return { largest: fitting < smallest ? 0 : fitting, complete: true, trials };
}

function nextBatch(fitting: number, tooLarge: number, { smallest, greatest }: BatchSearchOptions): number {
  if (fitting < smallest) return smallest;
  if (tooLarge > greatest) return Math.min(2 * fitting, greatest);
  return Math.floor((fitting + tooLarge) / 2);
}

/** The line through the two largest measured batches. */
function expectedBytes(trials: readonly Trial[], microBatch: number): number | undefined {
  const measured = trials.filter((trial) => trial.peakBytes !== undefined && trial.fits);
  const [a, b] = measured.sort((x, y) => x.microBatch - y.microBatch).slice(-2);
  if (a === undefined || b === undefined) return undefined;
  const perImage = (b.peakBytes! - a.peakBytes!) / (b.microBatch - a.microBatch);
  return b.peakBytes! + perImage * (microBatch - b.microBatch);
}
