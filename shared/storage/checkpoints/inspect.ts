/** What stored slices hold, learnt from their headers, without reading a whole state into memory. */
import { createHash } from 'node:crypto';
import { ThawError } from '../../protocol/index.js';
import { blobKey } from '../blobs/index.js';
import type { SafetensorsHeader } from '../safetensors/index.js';
import { decodeSafetensorsHeader, safetensorsHeaderEnd } from '../safetensors/index.js';
import type { ObjectStore } from '../store/index.js';
import { TensorEntrySchema, type SliceRecord, type TensorEntry } from './manifest.js';
import type { StateSlice } from './slices.js';
import { checkSameState, checkStateTensor, readSliceMetadata } from './slices.js';

export interface InspectedSlices {
  readonly scalars: StateSlice['scalars'];
  /** Sorted by name. */
  readonly tensors: TensorEntry[];
  readonly records: readonly SliceRecord[];
  /** In the order of `records`. */
  readonly headers: readonly SafetensorsHeader[];
}

/** Reads the header of every slice: all must be there, of the reported size, and parts of one state. */
export async function inspectSlices(store: ObjectStore, records: readonly SliceRecord[]): Promise<InspectedSlices> {
  let first: Omit<StateSlice, 'tensors'> | undefined;
  const tensors: TensorEntry[] = [];
  const headers: SafetensorsHeader[] = [];
  for (const [position, record] of records.entries()) {
    const header = await readHeader(store, record);
    headers.push(header);
    const slice = readSliceMetadata(header.metadata);
    first ??= slice;
    checkSameState(first, slice);
    if (record.index !== position || slice.index !== position || slice.count !== records.length)
      throw new ThawError(
        'THAW_CHECKPOINT_INVALID',
        `Slice ${slice.index} of ${slice.count} was reported as slice ${record.index} of ${records.length}, in place ${position}.`,
      );
    for (const { name, dtype, shape } of header.places) {
      checkStateTensor(name, dtype);
      tensors.push(TensorEntrySchema.parse({ name, dtype, shape, slice: position }));
    }
  }
  if (first === undefined) throw new ThawError('THAW_CHECKPOINT_INVALID', 'A checkpoint has at least one slice.');
  tensors.sort((a, b) => (a.name < b.name ? -1 : 1));
  return { scalars: first.scalars, tensors, records, headers };
}

async function readHeader(store: ObjectStore, record: SliceRecord): Promise<SafetensorsHeader> {
  const key = blobKey(record.sha256);
  const found = await store.head(key);
  if (found === undefined)
    throw new ThawError('THAW_BLOB_NOT_FOUND', `Slice ${record.index} (${record.sha256}) is not in the store.`);
  if (found.size !== record.bytes)
    throw new ThawError('THAW_BLOB_CORRUPT', `Slice ${record.index} has ${found.size} bytes, not ${record.bytes}.`);
  // Most headers fit into the first read; a longer one takes a second.
  let begin = await store.get(key, { offset: 0, length: 65_536 });
  const end = begin === undefined ? 0 : safetensorsHeaderEnd(begin.bytes, found.size);
  if (begin !== undefined && begin.bytes.byteLength < end) begin = await store.get(key, { offset: 0, length: end });
  if (begin === undefined)
    throw new ThawError('THAW_BLOB_NOT_FOUND', `Slice ${record.index} was removed while it was read.`);
  return decodeSafetensorsHeader(begin.bytes, found.size);
}

/** See `weightsSha256`: the same number from stored slices, reading one weight at a time. */
export async function hashStoredWeights(store: ObjectStore, { records, headers }: InspectedSlices): Promise<string> {
  const prefix = 'weights/';
  const weights = headers.flatMap(({ places, dataOffset }, slice) =>
    places
      .filter(({ name }) => name.startsWith(prefix))
      .map(({ name, begin, end }) => ({
        name,
        key: blobKey(records[slice]!.sha256),
        offset: dataOffset + begin,
        length: end - begin,
      })),
  );
  weights.sort((a, b) => (a.name < b.name ? -1 : 1));
  const hash = createHash('sha256');
  for (const { name, key, offset, length } of weights) {
    const found = await store.get(key, { offset, length });
    if (found === undefined || found.bytes.byteLength !== length)
      throw new ThawError(
        'THAW_BLOB_NOT_FOUND',
        `The slice that holds ${name} was removed or cut short while it was read.`,
      );
    hash.update(found.bytes);
  }
  return hash.digest('hex');
}
