/** Which checkpoints to keep. Pure. */
export interface RetentionPolicy {
  /** The newest n of each run. At least 1: a run must be able to resume. */
  readonly keepLast: number;
  /** Every checkpoint whose step is a multiple of this. */
  readonly keepEvery?: number;
  /** The best by a metric of the manifest, per run. */
  readonly keepBest?: { readonly metric: string; readonly count: number; readonly order: 'lowest' | 'highest' };
}

export interface RetainableCheckpoint {
  readonly run: string;
  readonly step: number;
  readonly metrics?: Readonly<Record<string, number>> | undefined;
}

export interface RetentionChoice<C extends RetainableCheckpoint> {
  readonly keep: readonly { readonly checkpoint: C; readonly reasons: readonly string[] }[];
  readonly remove: readonly C[];
}

/**
 * Divides checkpoints into those to keep, each with the reasons, and those that may go.
 * @param pinned what channels serve or could roll back to, what jobs use: kept whatever the policy says, with the reason given
 */
export function chooseRetained<C extends RetainableCheckpoint>(
  checkpoints: readonly C[],
  policy: RetentionPolicy,
  pinned: readonly { readonly run: string; readonly step: number; readonly reason: string }[] = [],
): RetentionChoice<C> {
  const keep: { checkpoint: C; reasons: string[] }[] = [];
  const remove: C[] = [];
  for (const run of new Set(checkpoints.map((checkpoint) => checkpoint.run))) {
    const newestFirst = checkpoints.filter((checkpoint) => checkpoint.run === run).sort((a, b) => b.step - a.step);
    const best = bestSteps(newestFirst, policy);
    for (const [position, checkpoint] of newestFirst.entries()) {
      const { step } = checkpoint;
      const reasons = pinned.filter((pin) => pin.run === run && pin.step === step).map((pin) => pin.reason);
      if (position < Math.max(1, policy.keepLast)) reasons.push('one of the newest');
      if (policy.keepEvery !== undefined && policy.keepEvery > 0 && step % policy.keepEvery === 0)
        reasons.push(`a multiple of ${policy.keepEvery} steps`);
      if (best.has(step)) reasons.push(`among the best by ${policy.keepBest?.metric}`);
      if (reasons.length > 0) keep.push({ checkpoint, reasons });
      else remove.push(checkpoint);
    }
  }
  return { keep, remove };
}

function bestSteps(ofOneRun: readonly RetainableCheckpoint[], { keepBest }: RetentionPolicy): Set<number> {
  if (keepBest === undefined) return new Set();
  const sign = keepBest.order === 'lowest' ? 1 : -1;
  const measured = ofOneRun.flatMap(({ step, metrics }) => {
    const value = metrics?.[keepBest.metric];
    return value === undefined || Number.isNaN(value) ? [] : [{ step, value: sign * value }];
  });
  measured.sort((a, b) => a.value - b.value || b.step - a.step);
  return new Set(measured.slice(0, keepBest.count).map(({ step }) => step));
}
