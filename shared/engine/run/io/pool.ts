import { Worker } from 'node:worker_threads';
import { ThawError } from '@thaw/shared/protocol';
import { runtimeFailure } from '../failure.js';
import type { FixedWeight, ThreadProgram, WorkerReply, WorkerRequest } from '../messages.js';
import { CallSchedule } from '../schedule.js';
import type { Program, TensorData } from '../../types.js';

/** A worker that does not end by itself within this time after `close` is terminated. */
const closeGraceMs = 30_000;

export interface PoolOptions {
  readonly workers: number;
  readonly workerFile: URL;
  /** What the worker's file is started with. */
  readonly settings: object;
}

/** Weights and inputs in the order of the program's tables. */
export interface PoolCall<P extends ThreadProgram = Program> {
  readonly program: P;
  readonly weights: readonly Float32Array[];
  readonly version?: string;
  readonly inputs: readonly TensorData[];
  /** Arrays to be filled, in the order of the program's outputs; handed over when the call is given to a worker. */
  readonly results?: readonly (TensorData | undefined)[];
  readonly signal?: AbortSignal;
}

interface PendingCall<P extends ThreadProgram> extends PoolCall<P> {
  readonly id: number;
  resolve(outputs: readonly TensorData[]): void;
  reject(error: unknown): void;
}

interface PoolWorker {
  thread: Worker;
  /** Digests of the programs it has been told to load, and how that went. */
  readonly loads: Map<string, Deferred>;
  /** Weights it holds, by program. */
  readonly versions: Map<string, { version: string; weights: readonly Float32Array[] }>;
  /** Promise of its thread's end. */
  readonly ended: Promise<void>;
  over: boolean;
  /** The error that ended it, if it told. */
  cause: unknown;
}

interface LoadedProgram<P extends ThreadProgram> {
  readonly program: P;
  readonly fixedWeights: readonly FixedWeight[] | undefined;
}

interface Deferred<T = void> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(error: unknown): void;
}

/**
 * Threads that run programs. Calls wait in one queue for any free worker. A worker that ends by itself fails its call
 * with THAW_ENGINE_WORKER_LOST and is replaced, with every program loaded again.
 */
export class WorkerPool<P extends ThreadProgram = Program> {
  readonly #options: PoolOptions;
  readonly #schedule: CallSchedule<PendingCall<P>>;
  readonly #workers: PoolWorker[];
  readonly #programs = new Map<string, LoadedProgram<P>>();
  readonly #started = deferred<string | undefined>();
  #nextCall = 0;
  #closing: Promise<void> | undefined;
  #fatal: unknown;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#started.promise.catch(() => undefined);
    this.#schedule = new CallSchedule(options.workers);
    this.#workers = Array.from({ length: options.workers }, (_, index) => this.#start(index));
  }

  /**
   * Waits until a worker is ready.
   * @returns the library that it computes with, if it tells
   * @throws THAW_ENGINE_WORKER_LOST with the worker's own error as its cause, when none becomes ready
   */
  started(): Promise<string | undefined> {
    return this.#started.promise;
  }

  /** Makes a session of the program on every worker; `fixedWeights` complete a graph that was lowered for them. */
  async load(program: P, fixedWeights?: readonly FixedWeight[]): Promise<void> {
    if (this.#closing !== undefined) throw closed();
    if (!this.#schedule.usable) throw lostWhile(program.name, this.#fatal);
    const loaded = { program, fixedWeights };
    this.#programs.set(program.digest, loaded);
    try {
      await Promise.all(this.#alive().map((worker) => this.#loadOn(worker, loaded)));
    } catch (error) {
      this.unload(program.digest);
      throw error;
    }
  }

  unload(digest: string): void {
    if (!this.#programs.delete(digest)) return;
    for (const worker of this.#alive()) {
      worker.loads.delete(digest);
      worker.versions.delete(digest);
      send(worker, { type: 'unload', digest });
    }
  }

  run(call: PoolCall<P>): Promise<readonly TensorData[]> {
    if (this.#closing !== undefined) return Promise.reject(closed());
    if (!this.#schedule.usable) return Promise.reject(lostWhile(call.program.name, this.#fatal));
    if (call.signal?.aborted === true) return Promise.reject(aborted(call.program.name));
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#schedule.abort(pending);
        pending.reject(aborted(call.program.name));
      };
      const done = (): void => call.signal?.removeEventListener('abort', onAbort);
      const pending: PendingCall<P> = {
        ...call,
        id: this.#nextCall++,
        resolve: (outputs) => (done(), resolve(outputs)),
        reject: (error) => (done(), reject(error)),
      };
      call.signal?.addEventListener('abort', onAbort, { once: true });
      this.#schedule.submit(pending);
      this.#assign();
    });
  }

  /** Rejects what waits, lets what runs finish, ends every thread. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    for (const call of this.#schedule.drop()) call.reject(closed());
    for (const worker of this.#alive()) send(worker, { type: 'close' });
    await Promise.all(
      this.#workers.map(async (worker) => {
        const timer = setTimeout(() => void worker.thread.terminate(), closeGraceMs);
        await worker.ended;
        clearTimeout(timer);
      }),
    );
  }

  #start(index: number): PoolWorker {
    const thread = new Worker(this.#options.workerFile, {
      workerData: this.#options.settings,
      name: `thaw-engine-${index}`,
    });
    const worker: PoolWorker = {
      thread,
      loads: new Map(),
      versions: new Map(),
      ended: new Promise((resolve) => thread.once('exit', () => resolve())),
      over: false,
      cause: undefined,
    };
    thread.on('message', (message: WorkerReply) => this.#receive(index, worker, message));
    thread.on('error', (error) => (worker.cause = error));
    thread.once('exit', () => this.#lost(index, worker));
    for (const loaded of this.#programs.values()) this.#loadOn(worker, loaded).catch(() => undefined);
    return worker;
  }

  #receive(index: number, worker: PoolWorker, message: WorkerReply): void {
    switch (message.type) {
      case 'ready':
        this.#started.resolve(message.library);
        this.#schedule.ready(index);
        break;
      case 'loaded':
        worker.loads.get(message.digest)?.resolve();
        break;
      case 'load-failed': {
        const name = this.#programs.get(message.digest)?.program.name ?? message.digest;
        worker.loads.get(message.digest)?.reject(runtimeFailure(name, 'preparing', message));
        break;
      }
      case 'done':
        this.#schedule.settled(index)?.resolve(message.outputs);
        break;
      case 'failed': {
        const call = this.#schedule.settled(index);
        call?.reject(runtimeFailure(call.program.name, 'running', message));
      }
    }
    this.#assign();
  }

  #loadOn(worker: PoolWorker, { program, fixedWeights }: LoadedProgram<P>): Promise<void> {
    const known = worker.loads.get(program.digest);
    if (known !== undefined) return known.promise;
    const load = deferred();
    load.promise.catch(() => undefined);
    worker.loads.set(program.digest, load);
    send(worker, { type: 'load', program, ...(fixedWeights !== undefined && { fixedWeights }) });
    return load.promise;
  }

  #assign(): void {
    for (const { worker, call } of this.#schedule.assign()) this.#send(this.#workers[worker]!, call);
  }

  #send(worker: PoolWorker, call: PendingCall<P>): void {
    const { program, weights, version, inputs, results, id } = call;
    const held = worker.versions.get(program.digest);
    const holds =
      version !== undefined && held?.version === version && weights.every((weight, i) => weight === held.weights[i]);
    if (version === undefined) worker.versions.delete(program.digest);
    else if (!holds) worker.versions.set(program.digest, { version, weights });
    try {
      const handedOver = new Set((results ?? []).flatMap((array) => (array === undefined ? [] : [array.buffer])));
      send(
        worker,
        {
          type: 'run',
          call: id,
          digest: program.digest,
          inputs: inputs.map(compact),
          ...(!holds && { weights: weights.map(compact) }),
          ...(results !== undefined && { results }),
        },
        [...handedOver] as ArrayBuffer[],
      );
    } catch (error) {
      this.#schedule.settled(this.#workers.indexOf(worker));
      call.reject(error);
    }
  }

  #lost(index: number, worker: PoolWorker): void {
    worker.over = true;
    if (this.#closing !== undefined) {
      this.#started.reject(closed());
      this.#schedule.settled(index)?.reject(closed());
      for (const load of worker.loads.values()) load.reject(closed());
      return;
    }
    const { lost, restart, stranded } = this.#schedule.lost(index);
    this.#fatal = worker.cause;
    if (!this.#schedule.usable) this.#started.reject(lostError('before it was ready', worker.cause));
    lost?.reject(lostWhile(lost.program.name, worker.cause));
    for (const call of stranded) call.reject(lostWhile(call.program.name, worker.cause));
    for (const [digest, load] of worker.loads)
      load.reject(lostWhile(this.#programs.get(digest)?.program.name ?? digest, worker.cause));
    if (restart) this.#workers[index] = this.#start(index);
    this.#assign();
  }

  #alive(): PoolWorker[] {
    return this.#workers.filter((worker) => !worker.over);
  }
}

const send = <P extends ThreadProgram>(
  worker: PoolWorker,
  request: WorkerRequest<P>,
  transfer: ArrayBuffer[] = [],
): void => worker.thread.postMessage(request, transfer);
const closed = (): ThawError => new ThawError('THAW_ENGINE_CLOSED', 'the engine was closed');
const aborted = (program: string): ThawError =>
  new ThawError('THAW_ENGINE_ABORTED', `a call of program '${program}' was cancelled`);

const lostWhile = (program: string, cause: unknown): ThawError =>
  lostError(`while program '${program}' needed it`, cause);

function lostError(when: string, cause: unknown): ThawError {
  const why = cause instanceof Error ? `: ${cause.message}` : '';
  return new ThawError('THAW_ENGINE_WORKER_LOST', `a worker of the engine ended ${when}${why}`, { cause });
}

/** A view on a part of private memory would be cloned with all of it. */
function compact<T extends TensorData>(data: T): T {
  const whole = data.buffer instanceof SharedArrayBuffer || data.byteLength === data.buffer.byteLength;
  return whole ? data : (data.slice() as T);
}

function deferred<T = void>(): Deferred<T> {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
}
