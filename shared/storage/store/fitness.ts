/** Whether a store keeps the promises that a run depends on: some S3 servers accept conditions and ignore them. */
import { ThawError } from '../../protocol/index.js';
import type { ObjectStore } from './object-store.js';

/**
 * Tries conditional writes on an object of its own and removes it again.
 * @param probe a name that nobody else uses at the same time
 * @throws ThawError THAW_STORE_UNFIT
 */
export async function checkStoreFitness(store: ObjectStore, probe: string): Promise<void> {
  const key = `probes/${probe}`;
  const text = (content: string): Uint8Array => new TextEncoder().encode(`${probe} ${content}`);
  const first = await store.putIfAbsent(key, text('first'));
  try {
    demand(first.created, 'it refused to create an object that was not there');
    demand(
      !(await store.putIfAbsent(key, text('again'))).created,
      'it replaced an object although the write was if-absent',
    );
    const second = await store.compareAndSwap(key, text('second'), first.etag);
    demand(second.swapped, 'it refused to swap an object that had the expected etag');
    const late = await store.compareAndSwap(key, text('late'), first.etag);
    demand(!late.swapped, 'it swapped an object although its etag was not the expected one');
    const found = await store.get(key);
    demand(
      found !== undefined && new TextDecoder().decode(found.bytes) === `${probe} second`,
      'it does not return what was written last',
    );
  } finally {
    await store.delete(key);
  }
}

function demand(kept: boolean, problem: string): void {
  if (!kept) throw new ThawError('THAW_STORE_UNFIT', `The object store cannot be used: ${problem}.`);
}
