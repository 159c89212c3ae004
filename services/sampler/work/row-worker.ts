/**
 * Computes rows: keeps the engine busy with one network call after the other, each with whatever rows are due (`batching`), and moves their
 * trajectories on. Knows nothing of jobs, stores or messages.
 */
import { ThawError } from '@thaw/shared/protocol';
import type { Clock } from '@thaw/shared/runtime';
import { batchingAfter, emptyBatching, nextBatch, type BatchingState, type Priority } from '../batching/index.js';
import type { ModelSource, ModelVersion, RestorationModel, StepOutput } from '../ports.js';
import { advance, isFinished, severityOf, stepRow, type Trajectory } from '../trajectory/index.js';

/** A row to be computed, with what to do on the way. */
export interface RowTask {
  readonly key: string;
  readonly version: ModelVersion;
  readonly priority: Priority;
  /** Wall clock; orders rows. */
  readonly dueByMs: number;
  /** Makes the start (or resumed) state. */
  prepare(model: RestorationModel): Promise<Trajectory>;
  /** A call on `before` gave `output`. Awaited before the row is finished, not before its next call. */
  onStep?(before: Trajectory, output: StepOutput): Promise<void> | undefined;
  /** The row stays on the list until this resolves. */
  onFinished(trajectory: Trajectory): Promise<void>;
  onFailed(error: unknown): void;
  /** The worker stops before the row is finished. */
  onDropped?(): void;
}

/** One network call, for metrics and tests. */
export interface CallReport {
  readonly version: ModelVersion;
  readonly severities: readonly number[];
  readonly tookMs: number;
}

export interface RowWorkerOptions {
  readonly models: ModelSource;
  readonly clock: Clock;
  /** Rows of users held at once. */
  readonly maxRows: number;
  /** Network calls under way at once. */
  readonly concurrency: number;
  readonly onCall?: (report: CallReport) => void;
}

interface ActiveRow {
  readonly task: RowTask;
  model?: RestorationModel;
  trajectory?: Trajectory;
  /** Lets the model go. */
  release?: () => void;
  readonly pending: Promise<void>[];
}

export const versionKey = (version: ModelVersion): string => `${version.run}/${version.step}/${version.manifestSha256}`;

export class RowWorker {
  readonly #options: RowWorkerOptions;
  readonly #rows = new Map<string, ActiveRow>();
  readonly #models = new Map<string, RestorationModel>();
  readonly #calls = new Set<Promise<void>>();
  #batching: BatchingState = emptyBatching;
  #arrivals = 0;
  #stopped = false;

  constructor(options: RowWorkerOptions) {
    this.#options = options;
  }

  has(key: string): boolean {
    return this.#rows.has(key);
  }

  /** Keys of the rows held, with their severities (that of the start while a row is being prepared is unknown: undefined). */
  held(): { readonly key: string; readonly severity: number | undefined; readonly priority: Priority }[] {
    return [...this.#rows].map(([key, row]) => ({
      key,
      severity: row.trajectory && severityOf(row.trajectory),
      priority: row.task.priority,
    }));
  }

  /** Takes a row unless as many are held as allowed. A row that is held already counts as accepted. */
  add(task: RowTask): 'accepted' | 'busy' {
    if (this.#stopped) return 'busy';
    if (this.#rows.has(task.key)) return 'accepted';
    const users = [...this.#rows.values()].filter((row) => row.task.priority === 'user').length;
    if (task.priority === 'user' && users >= this.#options.maxRows) return 'busy';
    const row: ActiveRow = { task, pending: [] };
    this.#rows.set(task.key, row);
    void this.#enter(row);
    return 'accepted';
  }

  /** Forgets a row; a call under way with it goes on without it. Nothing of the task is called any more. */
  cancel(key: string): void {
    if (!this.#drop(key)) return;
    this.#batching = batchingAfter(this.#batching, { type: 'left', key });
  }

  /** Takes no more rows, lets calls under way end, and hands back the trajectories as they are. */
  async stop(): Promise<{ readonly key: string; readonly trajectory: Trajectory }[]> {
    this.#stopped = true;
    await Promise.all(this.#calls);
    await Promise.allSettled([...this.#rows.values()].flatMap((row) => row.pending));
    const left = [...this.#rows.values()];
    const unfinished = left.flatMap(({ task, trajectory }) =>
      trajectory === undefined || isFinished(trajectory) ? [] : [{ key: task.key, trajectory }],
    );
    for (const key of [...this.#rows.keys()]) this.#drop(key);
    this.#batching = emptyBatching;
    for (const { task } of left) task.onDropped?.();
    return unfinished;
  }

  /** Takes a row off the list and lets its model go. */
  #drop(key: string): boolean {
    this.#rows.get(key)?.release?.();
    return this.#rows.delete(key);
  }

  async #enter(row: ActiveRow): Promise<void> {
    const { task } = row;
    try {
      const model = await this.#options.models.load(task.version);
      if (this.#rows.get(task.key) !== row) return;
      row.release = model.hold();
      const trajectory = await task.prepare(model);
      if (this.#rows.get(task.key) !== row) return;
      row.model = model;
      row.trajectory = trajectory;
      if (isFinished(trajectory)) return void this.#finish(row);
      this.#models.set(versionKey(task.version), model);
      const { key, priority, dueByMs } = task;
      const entered = { key, priority, dueByMs, versionKey: versionKey(task.version), arrival: this.#arrivals++ };
      this.#batching = batchingAfter(this.#batching, { type: 'entered', row: entered });
      this.#pump();
    } catch (error) {
      this.#fail(row, error);
    }
  }

  #pump(): void {
    while (!this.#stopped && this.#calls.size < this.#options.concurrency) {
      const maxRows = (key: string): number => this.#models.get(key)!.batchSizes.at(-1)!;
      const { state, batch } = nextBatch(this.#batching, maxRows);
      if (batch === undefined) return this.#forgetIdleModels();
      this.#batching = state;
      const rows = batch.keys.map((key) => this.#rows.get(key)!);
      const call = this.#call(this.#models.get(batch.versionKey)!, rows).finally(() => {
        this.#calls.delete(call);
        this.#batching = batchingAfter(this.#batching, { type: 'returned', keys: batch.keys });
        this.#pump();
      });
      this.#calls.add(call);
    }
  }

  async #call(model: RestorationModel, rows: readonly ActiveRow[]): Promise<void> {
    const startMs = this.#options.clock.nowMs();
    const inputs = rows.map((row) => stepRow(row.trajectory!));
    let outputs: StepOutput[];
    try {
      outputs = await model.step(inputs);
    } catch (error) {
      for (const row of rows) this.#fail(row, error);
      return;
    }
    const tookMs = this.#options.clock.nowMs() - startMs;
    this.#options.onCall?.({ version: model.version, severities: inputs.map((input) => input.severity), tookMs });
    rows.forEach((row, position) => this.#moveOn(row, outputs[position]!));
  }

  #moveOn(row: ActiveRow, output: StepOutput): void {
    if (this.#rows.get(row.task.key) !== row) return; // cancelled meanwhile
    const before = row.trajectory!;
    const saving = row.task.onStep?.(before, output);
    if (saving !== undefined) {
      saving.catch(() => undefined); // looked at when the row is finished
      row.pending.push(saving);
    }
    row.trajectory = advance(before, output);
    if (!isFinished(row.trajectory)) return;
    this.#batching = batchingAfter(this.#batching, { type: 'left', key: row.task.key });
    const finishing = this.#finish(row);
    row.pending.push(finishing);
  }

  async #finish(row: ActiveRow): Promise<void> {
    try {
      await Promise.all(row.pending.slice());
      if (this.#rows.get(row.task.key) !== row) return;
      await row.task.onFinished(row.trajectory!);
      if (this.#rows.get(row.task.key) === row) this.#drop(row.task.key);
    } catch (error) {
      this.#fail(row, error);
    }
  }

  #fail(row: ActiveRow, error: unknown): void {
    if (this.#rows.get(row.task.key) !== row) return;
    this.cancel(row.task.key);
    row.task.onFailed(error);
  }

  /** Models of versions that no row needs any more are let go. */
  #forgetIdleModels(): void {
    const needed = new Set([...this.#batching.rows.values()].map((row) => row.versionKey));
    for (const key of this.#models.keys()) if (!needed.has(key)) this.#models.delete(key);
  }
}

/** The coded form of whatever was thrown. */
export const asThawError = (error: unknown): ThawError =>
  error instanceof ThawError
    ? error
    : new ThawError('THAW_INTERNAL', error instanceof Error ? error.message : String(error), { cause: error });
