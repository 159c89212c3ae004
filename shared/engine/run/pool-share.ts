import { ThawError } from '@thaw/shared/protocol';
import type { TensorData } from '../types.js';
import type { PoolCall, WorkerPool } from './io/pool.js';
import type { FixedWeight, ThreadProgram } from './messages.js';

/** What an engine needs of the threads that run its programs. */
export type ProgramPool<P extends ThreadProgram> = Pick<WorkerPool<P>, 'load' | 'unload' | 'run' | 'close'>;

export interface StartedPool<P extends ThreadProgram> {
  readonly pool: ProgramPool<P>;
  /** What computes under the package, if a worker told. */
  readonly library: string | undefined;
}

interface Shared<P extends ThreadProgram> {
  readonly pool: WorkerPool<P>;
  holders: number;
}

/**
 * One pool for all engines of a process, where what computes can have one thread only. It is opened with the first share and closed with the
 * last; each share has its own programs, equal ones with other weights among them.
 */
export class SharedPool<P extends ThreadProgram> {
  readonly #open: () => WorkerPool<P>;
  #shared: Shared<P> | undefined;
  /** A pool that is ending: the next one begins after it. */
  #ending: Promise<void> = Promise.resolve();
  #shares = 0;

  constructor(open: () => WorkerPool<P>) {
    this.#open = open;
  }

  /** @throws as `WorkerPool.started` does, holding nothing then */
  async share(): Promise<StartedPool<P>> {
    await this.#ending;
    const shared = (this.#shared ??= { pool: this.#open(), holders: 0 });
    shared.holders++;
    const share = new PoolShare(shared.pool, `${this.#shares++} `, () => this.#release(shared));
    try {
      return { pool: share, library: await shared.pool.started() };
    } catch (error) {
      await share.close();
      throw error;
    }
  }

  #release(shared: Shared<P>): Promise<void> {
    if (--shared.holders > 0) return Promise.resolve();
    this.#shared = undefined;
    this.#ending = shared.pool.close();
    return this.#ending;
  }
}

class PoolShare<P extends ThreadProgram> implements ProgramPool<P> {
  readonly #pool: WorkerPool<P>;
  readonly #prefix: string;
  readonly #release: () => Promise<void>;
  readonly #loaded = new Set<string>();
  readonly #stop = new AbortController();
  #closing: Promise<void> | undefined;

  constructor(pool: WorkerPool<P>, prefix: string, release: () => Promise<void>) {
    this.#pool = pool;
    this.#prefix = prefix;
    this.#release = release;
  }

  async load(program: P, fixedWeights?: readonly FixedWeight[]): Promise<void> {
    if (this.#closing !== undefined) throw closed();
    this.#loaded.add(program.digest);
    await this.#pool.load(this.#own(program), fixedWeights);
  }

  unload(digest: string): void {
    if (this.#loaded.delete(digest)) this.#pool.unload(this.#prefix + digest);
  }

  async run(call: PoolCall<P>): Promise<readonly TensorData[]> {
    if (this.#closing !== undefined) throw closed();
    const { signal: stop } = this.#stop;
    const signal = call.signal === undefined ? stop : AbortSignal.any([call.signal, stop]);
    try {
      return await this.#pool.run({ ...call, program: this.#own(call.program), signal });
    } catch (error) {
      throw stop.aborted ? closed() : error;
    }
  }

  /** Rejects this share's calls, those that run too, and frees its programs. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#stop.abort();
    for (const digest of [...this.#loaded]) this.unload(digest);
    await this.#release();
  }

  #own(program: P): P {
    return { ...program, digest: this.#prefix + program.digest };
  }
}

const closed = (): ThawError => new ThawError('THAW_ENGINE_CLOSED', 'the engine was closed');
