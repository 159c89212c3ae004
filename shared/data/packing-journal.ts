/** What an unfinished packing has done: `datasets/<name>/packing.json`. */
import { z } from 'zod';
import { NameSchema, ThawError } from '@thaw/shared/protocol';
import type { ObjectStore } from '@thaw/shared/storage';
import { DatasetManifestSchema, QuarantinedSchema, ShardSchema } from './manifest.js';
import type { SplitName } from './manifest.js';

const JournalShardSchema = ShardSchema.extend({
  imageShape: DatasetManifestSchema.shape.imageShape,
  /** Source items dealt with when the shard was complete. */
  itemsConsumed: z.int().min(1),
  /** Bad images met since the shard before, the first by name. */
  quarantined: z.array(QuarantinedSchema),
  quarantinedCount: z.int().min(0),
});
const JournalSchema = z.strictObject({
  format: z.literal('thaw.packing/1'),
  /** Digest of sources and options. */
  identity: z.string(),
  complete: z.boolean(),
  splits: z.strictObject({ train: z.array(JournalShardSchema), test: z.array(JournalShardSchema) }),
});

export type JournalShard = z.infer<typeof JournalShardSchema>;
type Journal = z.infer<typeof JournalSchema>;

export class PackingJournal {
  readonly #store: ObjectStore;
  readonly #key: string;
  #journal: Journal;

  private constructor(store: ObjectStore, key: string, journal: Journal) {
    this.#store = store;
    this.#key = key;
    this.#journal = journal;
  }

  /** Opens the journal of a packing with this identity; one of another packing, or one that is damaged, counts as none. */
  static async open(store: ObjectStore, name: string, identity: string): Promise<PackingJournal> {
    if (!NameSchema.safeParse(name).success)
      throw new ThawError('THAW_DATA_INVALID', `"${name}" cannot name a data set.`, {
        cure: 'Use lower-case letters, digits and inner hyphens, at most 64 characters.',
      });
    const key = `datasets/${name}/packing.json`;
    const empty: Journal = { format: 'thaw.packing/1', identity, complete: false, splits: { train: [], test: [] } };
    const object = await store.get(key);
    const found = object && parseJournal(object.bytes);
    return new PackingJournal(store, key, found?.identity === identity ? found : empty);
  }

  /** All shards are written; only the manifest may be missing. */
  get isComplete(): boolean {
    return this.#journal.complete;
  }

  shardsOf(split: SplitName): readonly JournalShard[] {
    return this.#journal.splits[split];
  }

  async record(split: SplitName, shards: readonly JournalShard[]): Promise<void> {
    await this.#write({ ...this.#journal, splits: { ...this.#journal.splits, [split]: [...shards] } });
  }

  async complete(): Promise<void> {
    await this.#write({ ...this.#journal, complete: true });
  }

  async #write(journal: Journal): Promise<void> {
    this.#journal = journal;
    await this.#store.put(this.#key, new TextEncoder().encode(JSON.stringify(journal)));
  }
}

function parseJournal(bytes: Uint8Array): Journal | undefined {
  try {
    return JournalSchema.parse(JSON.parse(new TextDecoder().decode(bytes)));
  } catch {
    return undefined;
  }
}
