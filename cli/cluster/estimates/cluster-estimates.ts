/**
 * Estimates computed by the samplers of a cluster, block by block. A block is a job: the samplers see to it that it is finished whoever of
 * them dies. What can be lost here is an answer: it is asked for again, and a block whose results cannot be read is computed anew.
 */
import type { Estimate, EstimateSource } from '@thaw/shared/evaluation';
import { ThawError } from '@thaw/shared/protocol';
import { randomHex, sleep, type Clock, type Entropy } from '@thaw/shared/runtime';
import { decodeEstimate, type ClusterOutlook, type JobStatus } from '@thaw/sampler';
import type { EstimateDoor, OutlookQuery } from './door.js';

export interface ClusterEstimatesParts {
  readonly door: EstimateDoor;
  readonly clock: Clock;
  readonly entropy: Entropy;
  /** Ends all waiting. */
  readonly signal?: AbortSignal;
}

export interface ClusterEstimates extends EstimateSource {
  readonly blocksAtOnce: number;
  /** Gives up what is under way, and removes from the cluster's store what was computed. */
  close(): Promise<void>;
}

/** The sampler asked would compute other bits, and hears of none that would not: one that does may be starting again. */
const otherBits = 'THAW_FINGERPRINT_MISMATCH';
/** Samplers whose queue is full, that drain, load or are not there for a moment: to be asked again. */
const passing = new Set([
  'THAW_SERVICE_UNREACHABLE',
  'THAW_DRAINING',
  'THAW_QUEUE_FULL',
  'THAW_MODEL_NOT_READY',
  'THAW_STORE_UNAVAILABLE',
  otherBits,
]);
/** Of the samplers' side, and still not worth another attempt. */
const final = new Set(['THAW_CHECKPOINT_INVALID', 'THAW_CHECKPOINT_NOT_FOUND']);
/** So long no call may succeed. */
const patienceMs = 120_000;
const pauseMs = 1000;
const waitMs = 10_000;
/** So long the end waits for what is being sent. */
const mostCloseMs = 5000;
/** A block is computed so often at most. */
const mostAttempts = 3;
/** Rows fetched at once. */
const fetching = 4;

/**
 * Asks what there is to evaluate.
 * @throws ThawError THAW_SERVICE_UNREACHABLE at once when no sampler answers, and what the sampler refuses with
 */
export async function clusterEstimates(parts: ClusterEstimatesParts, query: OutlookQuery): Promise<ClusterEstimates> {
  return new BlockSource(parts, await parts.door.outlook(query).catch(explained), query);
}

/** What is wrong with an address or a token, in words of whoever gave them. */
function explained(error: unknown): never {
  if (!(error instanceof ThawError)) throw error;
  if (error.code === 'THAW_ROUTE_NOT_FOUND' || error.code === 'THAW_NOT_FOUND')
    throw new ThawError('THAW_SERVICE_UNREACHABLE', `What answers there is no sampler: ${error.message}`, {
      cure: 'Give the address of a sampler, not of the coordinator. --cluster finds those of a local cluster, cluster.json in its folder lists them; in Kubernetes it is the service "sampler".',
      cause: error,
    });
  if (error.code === 'THAW_UNAUTHORIZED')
    throw new ThawError(error.code, error.message, {
      cure: 'Set THAW_TOKEN to the token of the samplers.',
      cause: error,
    });
  throw error;
}

class BlockSource implements ClusterEstimates {
  readonly origin;
  readonly shape;
  readonly available;
  readonly blockSize;
  readonly blocksAtOnce: number;
  readonly #o: ClusterEstimatesParts;
  readonly #query: OutlookQuery;
  /** Blocks in the cluster's store; those whose results are here already, apart. */
  readonly #open = new Set<string>();
  readonly #fetched = new Set<string>();
  readonly #sending = new Set<Promise<JobStatus>>();
  #closed = false;

  constructor(parts: ClusterEstimatesParts, outlook: ClusterOutlook, query: OutlookQuery) {
    this.#o = parts;
    this.#query = query;
    ({ origin: this.origin, shape: this.shape, available: this.available, blockSize: this.blockSize } = outlook);
    // One for each sampler, and one that is on its way while results are fetched.
    this.blocksAtOnce = Math.max(1, outlook.samplers) + 1;
  }

  async estimates(images: readonly number[]): Promise<readonly Estimate[]> {
    const { clock, signal } = this.#o;
    let unfitSinceMs: number | undefined;
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#block(images);
      } catch (error) {
        if (!(error instanceof BlockLost)) throw error;
        if (this.#closed) throw error.reason;
        if (error.reason.code === otherBits) {
          unfitSinceMs ??= clock.nowMs();
          if (clock.nowMs() - unfitSinceMs >= patienceMs) throw error.reason;
          await sleep(clock, pauseMs, signal);
        } else if (attempt >= mostAttempts) throw error.reason;
      }
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    // A block that is just being sent is removed by whoever sends it.
    await Promise.race([Promise.allSettled(this.#sending), sleep(this.#o.clock, mostCloseMs)]);
    await Promise.allSettled([...this.#open, ...this.#fetched].map((id) => this.#remove(id)));
  }

  async #block(images: readonly number[]): Promise<Estimate[]> {
    const { door } = this.#o;
    const request = this.#request(images);
    const sending = this.#patiently(() => door.send(request));
    this.#sending.add(sending);
    const sent = await sending.finally(() => this.#sending.delete(sending));
    this.#open.add(sent.id);
    if (this.#closed) {
      await this.#remove(sent.id);
      throw new ThawError('THAW_ENGINE_ABORTED', 'The evaluation is over; a block that was still sent was given up.');
    }
    // An open block keeps the checkpoint: whatever was read before may go now.
    for (const id of this.#fetched) void this.#remove(id);
    try {
      await this.#finished(sent);
      const estimates = await this.#rows(sent.id, images);
      this.#fetched.add(sent.id);
      return estimates;
    } catch (error) {
      if (error instanceof BlockLost) void this.#remove(sent.id);
      throw error;
    } finally {
      if (this.#fetched.has(sent.id)) this.#open.delete(sent.id);
    }
  }

  #request(images: readonly number[]): object {
    const { run, step, manifestSha256, fingerprint, split, sampler, seed } = this.origin;
    const { calls } = this.#query;
    const key = randomHex(this.#o.entropy, 16);
    return {
      ...{ mode: 'evaluate', count: images.length, run, version: step, sampler, seed },
      ...(calls === undefined ? {} : { calls }),
      evaluation: { split, first: images[0]!, manifestSha256, fingerprint, key },
    };
  }

  async #finished(sent: JobStatus): Promise<void> {
    let status = sent;
    while (status.state === 'running')
      status = await this.#patiently(() => this.#o.door.status(sent.id, waitMs), ['THAW_JOB_NOT_FOUND']);
    if (status.state === 'done') return;
    const code = (status.code ?? 'THAW_JOB_NOT_DONE') as ConstructorParameters<typeof ThawError>[0];
    const reason = new ThawError(code, `A block is ${status.state}: ${status.message ?? 'no reason was given'}`);
    throw final.has(code) ? reason : new BlockLost(reason);
  }

  async #rows(id: string, images: readonly number[]): Promise<Estimate[]> {
    const estimates: Estimate[] = new Array(images.length);
    let next = 0;
    const fetchSome = async (): Promise<void> => {
      for (let row = next++; row < images.length; row = next++) estimates[row] = await this.#row(id, row, images[row]!);
    };
    await Promise.all(Array.from({ length: fetching }, fetchSome));
    return estimates;
  }

  async #row(id: string, row: number, image: number): Promise<Estimate> {
    const gone = ['THAW_JOB_NOT_FOUND', 'THAW_JOB_NOT_READY', 'THAW_JOB_ENDED', 'THAW_DEADLINE_EXPIRED'];
    const { severities } = this.origin;
    for (let attempt = 1; ; attempt++) {
      const bytes = await this.#patiently(() => this.#o.door.row(id, row), gone);
      try {
        return decodeEstimate(bytes, { image, shape: this.shape, severities });
      } catch (error) {
        // Torn on the way, or where it is kept.
        if (attempt === 2) throw new BlockLost(error as ThawError);
      }
    }
  }

  /**
   * Calls until something other than a passing failure comes of it.
   * @param lost codes that say that the block is not there (any more)
   */
  async #patiently<T>(call: () => Promise<T>, lost: readonly string[] = []): Promise<T> {
    const { clock, signal } = this.#o;
    for (let sinceMs: number | undefined; ;) {
      signal?.throwIfAborted();
      try {
        return await call();
      } catch (error) {
        signal?.throwIfAborted();
        if (!(error instanceof ThawError)) throw error;
        if (lost.includes(error.code)) throw new BlockLost(error);
        if (!passing.has(error.code)) throw error;
        sinceMs ??= clock.nowMs();
        if (error.code !== 'THAW_QUEUE_FULL' && clock.nowMs() - sinceMs >= patienceMs) throw error;
        const seconds = error.details?.retryAfterSeconds;
        await sleep(clock, typeof seconds === 'number' ? seconds * 1000 : pauseMs, signal);
      }
    }
  }

  /** What cannot be removed goes when it is old. */
  async #remove(id: string): Promise<void> {
    this.#open.delete(id);
    this.#fetched.delete(id);
    await this.#o.door.remove(id).catch(() => undefined);
  }
}

/** This block's job will not give its results; another job may. */
class BlockLost extends Error {
  readonly reason: ThawError;
  constructor(reason: ThawError) {
    super(reason.message, { cause: reason });
    this.reason = reason;
  }
}
