/** Which worker does which call. Pure: no threads here, `io/pool.ts` performs what is answered. */

type WorkerState<Call> =
  | { readonly kind: 'starting' }
  | { readonly kind: 'idle' }
  | { readonly kind: 'busy'; readonly call: Call; readonly abandoned: boolean }
  /** It ended before it ever became ready: it is not started again. */
  | { readonly kind: 'dead' };

export interface Assignment<Call> {
  readonly worker: number;
  readonly call: Call;
}

/** What the loss of a worker means. */
export interface Loss<Call> {
  /** The call it was computing and that somebody still waits for. */
  readonly lost: Call | undefined;
  readonly restart: boolean;
  /** Calls that nobody can compute any more. */
  readonly stranded: readonly Call[];
}

/** First come, first served; results do not depend on the worker, so any free one will do. */
export class CallSchedule<Call> {
  readonly #workers: WorkerState<Call>[];
  #queue: Call[] = [];

  constructor(workers: number) {
    this.#workers = Array.from({ length: workers }, () => ({ kind: 'starting' }));
  }

  get queued(): number {
    return this.#queue.length;
  }

  get usable(): boolean {
    return this.#workers.some((worker) => worker.kind !== 'dead');
  }

  submit(call: Call): void {
    this.#queue.push(call);
  }

  /** Pairs waiting calls with idle workers; they are busy from now on. */
  assign(): Assignment<Call>[] {
    const assignments: Assignment<Call>[] = [];
    this.#workers.forEach((state, worker) => {
      if (state.kind !== 'idle') return;
      const call = this.#queue.shift();
      if (call === undefined) return;
      this.#workers[worker] = { kind: 'busy', call, abandoned: false };
      assignments.push({ worker, call });
    });
    return assignments;
  }

  /** The worker can take calls now. */
  ready(worker: number): void {
    this.#workers[worker] = { kind: 'idle' };
  }

  /** The worker answered: the call, unless nobody waits for it any more. */
  settled(worker: number): Call | undefined {
    const state = this.#workers[worker]!;
    this.#workers[worker] = { kind: 'idle' };
    return state.kind === 'busy' && !state.abandoned ? state.call : undefined;
  }

  /** Drops a waiting call; a running one goes on, its result is discarded. */
  abort(call: Call): void {
    this.#queue = this.#queue.filter((waiting) => waiting !== call);
    this.#workers.forEach((state, worker) => {
      if (state.kind === 'busy' && state.call === call) this.#workers[worker] = { ...state, abandoned: true };
    });
  }

  /** The worker's thread ended. One that had been ready is started again, one that never was is given up. */
  lost(worker: number): Loss<Call> {
    const state = this.#workers[worker]!;
    const lost = state.kind === 'busy' && !state.abandoned ? state.call : undefined;
    const restart = state.kind === 'busy' || state.kind === 'idle';
    this.#workers[worker] = restart ? { kind: 'starting' } : { kind: 'dead' };
    return { lost, restart, stranded: this.usable ? [] : this.drop() };
  }

  /** Empties the queue. */
  drop(): Call[] {
    const dropped = this.#queue;
    this.#queue = [];
    return dropped;
  }
}
