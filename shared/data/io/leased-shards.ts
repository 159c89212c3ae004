/** How a trainer reads training data: from leased shards only, verified, cached, ahead of need. */
import { ThawError } from '@thaw/shared/protocol';
import { silentLogger } from '@thaw/shared/runtime';
import type { Logger } from '@thaw/shared/runtime';
import type { ObjectStore } from '@thaw/shared/storage';
import { sampleOrder } from '../lanes.js';
import type { LaneSchedule } from '../lanes.js';
import { LeaseBook } from '../lease-book.js';
import type { Lease, LeaseRead } from '../lease.js';
import { sha256Hex } from '../manifest.js';
import type { DatasetManifest, ImageShape, Shard } from '../manifest.js';
import { decodeShard } from '../shard.js';
import type { ShardContent } from '../shard.js';
import type { ShardCache } from './shard-cache.js';

export interface LeasedShardsOptions {
  readonly store: ObjectStore;
  readonly manifest: DatasetManifest;
  /** The run's seed. */
  readonly seed: number;
  /** The pictures that images are mixed with: another order, and only leases that say so are taken. */
  readonly of?: LaneSchedule['of'];
  /** Samples of a lane's step. */
  readonly microBatch: number;
  /** Shards on disk; without it every shard that has left memory is fetched again. */
  readonly cache?: ShardCache;
  /** Bytes of decoded shards kept in memory. Default 512 MiB; at least the shards of one read are kept. */
  readonly memoryBytes?: number;
  readonly logger?: Logger;
}

/** The samples of one lane at one step, in order. */
export interface MicroBatch {
  /** uint8 [microBatch, H, W, C]; owned by the receiver. */
  readonly images: Uint8Array;
  readonly imageShape: ImageShape;
  /** Present when every shard read has labels. */
  readonly labels?: Int32Array;
  readonly epoch: number;
  readonly reads: readonly LeaseRead[];
}

interface OpenShard {
  readonly index: number;
  readonly content: ShardContent;
  /** Of the epoch it was last read in. */
  order: { readonly epoch: number; readonly rows: Uint32Array } | undefined;
}

export class LeasedShards {
  readonly #options: LeasedShardsOptions;
  readonly #logger: Logger;
  readonly #book: LeaseBook;
  readonly #shards: ReadonlyMap<string, { index: number; shard: Shard }>;
  /** Decoded shards by key, least recently used first. */
  readonly #open = new Map<string, Promise<OpenShard>>();
  readonly #openBytes = new Map<string, number>();
  /** Fetches under way, read-ahead included. */
  readonly #fetching = new Set<Promise<OpenShard>>();
  #closed = false;

  constructor(options: LeasedShardsOptions) {
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
    this.#book = new LeaseBook(options.microBatch);
    this.#shards = new Map(options.manifest.splits.train.shards.map((shard, index) => [shard.key, { index, shard }]));
  }

  /** Generation of the leases held; -1 before the first. */
  get generation(): number {
    return this.#book.generation;
  }

  /** Takes those leases of one generation that are of this set; see {@link LeaseBook.grant}. */
  grant(generation: number, leases: readonly Lease[]): boolean {
    const own = leases.filter((lease) => lease.of === this.#options.of);
    return this.#book.grant(generation, own);
  }

  /** Takes back every lease of generations before `generation`. */
  revokeBefore(generation: number): void {
    this.#book.revokeBefore(generation);
  }

  forgetBefore(step: number): void {
    this.#book.forgetBefore(step);
  }

  holds(lane: number, step: number): boolean {
    return this.#book.holds(lane, step);
  }

  /**
   * Reads the micro-batch of `lane` at `step` and begins to fetch the shard the lane needs next.
   * @throws ThawError THAW_DATA_NOT_LEASED before anything is opened; THAW_DATA_CORRUPT when a shard is missing or does
   * not match its lease; and what the store throws.
   */
  async read(lane: number, step: number): Promise<MicroBatch> {
    const { epoch, reads } = this.#book.readsOf(lane, step);
    const { imageShape } = this.#options.manifest;
    const imageSize = imageShape[0] * imageShape[1] * imageShape[2];
    const images = new Uint8Array(this.#options.microBatch * imageSize);
    const labels = new Int32Array(this.#options.microBatch);
    let labelled = true;
    let row = 0;
    const opened = await Promise.all(reads.map((read) => this.#openShard(read)));
    reads.forEach((read, i) => {
      const shard = opened[i]!;
      const order = this.#orderOf(shard, epoch);
      if (read.offset + read.count > shard.content.count)
        throw new ThawError(
          'THAW_DATA_NOT_LEASED',
          `A lease names samples ${read.offset} to ${read.offset + read.count - 1} of ${read.shard}, which has ${shard.content.count}.`,
        );
      for (let position = read.offset; position < read.offset + read.count; position++, row++) {
        const from = order[position]! * imageSize;
        images.set(shard.content.images.subarray(from, from + imageSize), row * imageSize);
        if (shard.content.labels) labels[row] = shard.content.labels[order[position]!]!;
        else labelled = false;
      }
    });
    this.#readAhead(lane, step, reads);
    const batch = { images, imageShape, epoch, reads };
    return labelled ? { ...batch, labels } : batch;
  }

  /** Resolves when no fetch is under way, failed ones included. */
  async idle(): Promise<void> {
    while (this.#fetching.size > 0) await Promise.allSettled(this.#fetching);
  }

  /** Begins no more reading ahead, waits for what is under way and frees the memory. Later reads open what they need. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.idle();
    this.#open.clear();
    this.#openBytes.clear();
  }

  #orderOf(shard: OpenShard, epoch: number): Uint32Array {
    if (shard.order?.epoch !== epoch)
      shard.order = {
        epoch,
        rows: sampleOrder(this.#options.seed, epoch, shard.index, shard.content.count, this.#options.of),
      };
    return shard.order.rows;
  }

  #readAhead(lane: number, step: number, reads: readonly LeaseRead[]): void {
    const next = this.#book.nextShard(lane, step, new Set(reads.map((read) => read.shard)));
    if (this.#closed || next === undefined || this.#open.has(next.shard)) return;
    this.#openShard(next).catch((err: unknown) =>
      this.#logger.warn('A shard could not be read ahead', { shard: next.shard, err }),
    );
  }

  /** The shard of the data set that a lease names. */
  #known(read: LeaseRead): { index: number; shard: Shard } {
    this.#book.assertShard(read.shard, read.sha256);
    const known = this.#shards.get(read.shard);
    if (known === undefined || known.shard.sha256 !== read.sha256)
      throw new ThawError(
        'THAW_DATA_CORRUPT',
        `A lease names the shard ${read.shard} with SHA-256 ${read.sha256}; the data set "${this.#options.manifest.name}" has no such shard.`,
      );
    return known;
  }

  async #openShard(read: LeaseRead): Promise<OpenShard> {
    const known = this.#known(read);
    const found = this.#open.get(read.shard);
    if (found !== undefined) {
      this.#open.delete(read.shard);
      this.#open.set(read.shard, found);
      return found;
    }
    const opening = this.#fetch(read, known);
    this.#open.set(read.shard, opening);
    this.#fetching.add(opening);
    opening.then(
      ({ content }) => {
        this.#fetching.delete(opening);
        this.#openBytes.set(read.shard, content.images.byteLength);
        this.#evict();
      },
      () => {
        this.#fetching.delete(opening);
        this.#open.delete(read.shard); // the next read tries again
      },
    );
    return opening;
  }

  async #fetch(read: LeaseRead, known: { index: number; shard: Shard }): Promise<OpenShard> {
    const { cache, store, manifest } = this.#options;
    let bytes = await cache?.get(read.sha256).catch((err: unknown) => {
      this.#logger.warn('A cached shard could not be read', { shard: read.shard, err });
      return undefined;
    });
    if (bytes === undefined) {
      const object = await store.get(read.shard);
      if (object === undefined)
        throw new ThawError('THAW_DATA_CORRUPT', `The shard ${read.shard} is missing from the object store.`);
      bytes = object.bytes;
      const digest = sha256Hex(bytes);
      if (digest !== read.sha256)
        throw new ThawError(
          'THAW_DATA_CORRUPT',
          `The shard ${read.shard} has SHA-256 ${digest}, its lease says ${read.sha256}.`,
        );
      await cache
        ?.put(read.sha256, bytes)
        .catch((err: unknown) => this.#logger.warn('A shard could not be cached', { shard: read.shard, err }));
    }
    return { index: known.index, content: decodeShard(bytes, known.shard, manifest.imageShape), order: undefined };
  }

  #evict(): void {
    const limit = this.#options.memoryBytes ?? 512 * 1024 * 1024;
    let total = [...this.#openBytes.values()].reduce((sum, bytes) => sum + bytes, 0);
    for (const key of [...this.#open.keys()]) {
      const bytes = this.#openBytes.get(key);
      if (total <= limit || this.#openBytes.size <= 1) return;
      if (bytes === undefined) continue; // still opening
      this.#open.delete(key);
      this.#openBytes.delete(key);
      total -= bytes;
    }
  }
}
