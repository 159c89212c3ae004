/** Whether a history of operations on one object can be explained by a store that does one at a time (Wing and Gong, 1993). */
export type Operation =
  | { readonly kind: 'get'; readonly result?: { readonly content: string | undefined } }
  | { readonly kind: 'create'; readonly content: string; readonly result?: { readonly created: boolean } }
  | {
      readonly kind: 'swap';
      readonly expected: string;
      readonly content: string;
      readonly result?: { readonly swapped: boolean };
    }
  | { readonly kind: 'put'; readonly content: string; readonly result?: object }
  | { readonly kind: 'delete'; readonly result?: object };

/** An operation without result (its process died, or it was told that the outcome is in doubt) has `end` infinity. */
export interface Timed {
  readonly operation: Operation;
  readonly begin: number;
  readonly end: number;
}

/** The state after an operation, or null if its result is impossible in this state. */
function apply(operation: Operation, state: string | undefined): { state: string | undefined } | null {
  const { kind, result } = operation;
  switch (kind) {
    case 'get':
      return result === undefined || operation.result?.content === state ? { state } : null;
    case 'create': {
      const created = state === undefined;
      return result === undefined || operation.result?.created === created
        ? { state: created ? operation.content : state }
        : null;
    }
    case 'swap': {
      const swapped = state === operation.expected;
      return result === undefined || operation.result?.swapped === swapped
        ? { state: swapped ? operation.content : state }
        : null;
    }
    case 'put':
      return { state: operation.content };
    case 'delete':
      return { state: undefined };
  }
}

export function isLinearizable(history: readonly Timed[]): boolean {
  const seen = new Set<string>();
  const search = (done: number, state: string | undefined): boolean => {
    const open = history.filter((_, index) => (done & (1 << index)) === 0);
    if (open.every(({ operation }) => operation.result === undefined)) return true;
    const key = `${done} ${state}`;
    if (seen.has(key)) return false;
    seen.add(key);
    const firstEnd = Math.min(...open.map(({ end }) => end));
    return history.some((timed, index) => {
      if ((done & (1 << index)) !== 0 || timed.begin > firstEnd) return false;
      const next = apply(timed.operation, state);
      return next !== null && search(done | (1 << index), next.state);
    });
  };
  return search(0, undefined);
}
