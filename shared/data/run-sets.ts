/** The data sets that a run reads, checked against its run file before any work. */
import { decodeJson, laneCount, NameSchema, Sha256Schema, ThawError, type RunConfig } from '@thaw/shared/protocol';
import type { ObjectStore } from '@thaw/shared/storage';
import { z } from 'zod';
import type { ReadSet } from './leases.js';
import { loadManifest } from './manifest.js';
import type { DatasetManifest } from './manifest.js';

/**
 * Refuses images that the run cannot be trained on.
 * @param field of the run file that names the data set
 * @throws ThawError THAW_DATA_INVALID naming the field and what is allowed
 */
export function checkImagesFit(
  { data }: Pick<RunConfig, 'data'>,
  { name, imageShape: [height, width, channels] }: Pick<DatasetManifest, 'name' | 'imageShape'>,
  field: 'data.dataset' | 'degradation.partners' = 'data.dataset',
): void {
  if (channels !== data.channels) {
    const kind = (n: number): string => (n === 1 ? 'grey (1 channel)' : 'coloured (3 channels)');
    throw new ThawError(
      'THAW_DATA_INVALID',
      `${field}: the images of "${name}" are ${kind(channels)}, data.channels asks for ${data.channels}.`,
      { cure: `Set data.channels to ${channels}, or pack the images again with --channels ${data.channels}.` },
    );
  }
  if (height < data.size || width < data.size)
    throw new ThawError(
      'THAW_DATA_INVALID',
      `${field}: the images of "${name}" are ${height} x ${width}, squares of data.size ${data.size} cannot be cut from them.`,
      { cure: `Set data.size to at most ${Math.min(height, width)}, or pack larger images.` },
    );
}

/**
 * The run's own set and, for degradations that mix in pictures, that of the partners.
 * @throws ThawError THAW_DATASET_NOT_FOUND, THAW_DATA_CORRUPT, THAW_DATA_INVALID
 */
export async function loadRunSets(
  store: ObjectStore,
  run: RunConfig,
): Promise<{ readonly own: ReadSet; readonly partners?: ReadSet }> {
  const order = { seed: run.seed, laneCount: laneCount(run), microBatch: run.batch.micro };
  const manifest = await loadManifest(store, run.data.dataset);
  checkImagesFit(run, manifest);
  const own = { manifest, order };
  if (run.degradation.family !== 'animorphosis') return { own };
  const partners = await loadManifest(store, run.degradation.partners);
  checkImagesFit(run, partners, 'degradation.partners');
  return { own, partners: { manifest: partners, order: { ...order, of: 'partners' } } };
}

/** `runs/<run>/datasets.json`: content digest of each data set that the run trains on, by name. */
const BoundSetsSchema = z.record(NameSchema, Sha256Schema);
const boundKey = (run: string): string => `runs/${NameSchema.parse(run)}/datasets.json`;

/**
 * Holds a run to the images it began with: the first process that trains it records the content of its sets, every later one finds the same
 * content or does not start. Without it, images packed anew under an old name would change what a resumed run computes, unnoticed.
 * @throws ThawError THAW_DATASET_CHANGED naming both digests; THAW_DATA_CORRUPT for a record that cannot be read
 */
export async function bindRunSets(
  store: ObjectStore,
  run: Pick<RunConfig, 'name'>,
  { own, partners }: { readonly own: ReadSet; readonly partners?: ReadSet },
): Promise<void> {
  const sets = [own, ...(partners === undefined ? [] : [partners])];
  const present = Object.fromEntries(sets.map(({ manifest }) => [manifest.name, manifest.contentSha256]));
  const key = boundKey(run.name);
  const { created } = await store.putIfAbsent(key, new TextEncoder().encode(`${JSON.stringify(present)}\n`));
  if (created) return;
  const found = await store.get(key);
  if (found === undefined) throw new ThawError('THAW_DATA_CORRUPT', `${key} was there a moment ago and is gone.`);
  const bound = decodeJson(
    found.bytes,
    BoundSetsSchema,
    'THAW_DATA_CORRUPT',
    `The record ${key} of the images that the run uses`,
  );
  for (const [name, sha256] of Object.entries(present))
    if (bound[name] !== sha256)
      throw new ThawError(
        'THAW_DATASET_CHANGED',
        `Run "${run.name}" began with the images ${bound[name] ?? '(none)'} of data set "${name}"; those in the store now are ${sha256}.`,
      );
}
