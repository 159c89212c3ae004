/** CIFAR-10 as it is distributed ("binary version"): a folder with data_batch_1.bin .. data_batch_5.bin and test_batch.bin. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ThawError } from '@thaw/shared/protocol';
import { cifar10Source } from '../cifar10-source.js';
import type { ImageSource } from '../image-source.js';
import { readIdx } from './idx-files.js';

const trainFiles = [1, 2, 3, 4, 5].map((batch) => `data_batch_${batch}.bin`);
const testFile = 'test_batch.bin';

/**
 * Opens both splits; the folder may be the one that the archive unpacks to, or its parent. Files may be gzipped.
 * @throws ThawError THAW_DATA_INVALID when a file is missing or not CIFAR-10
 */
export async function openCifar10(folder: string): Promise<{ train: ImageSource; test: ImageSource }> {
  const unpacked = join(folder, 'cifar-10-batches-bin');
  const place = existsSync(unpacked) ? unpacked : folder;
  const missing = [...trainFiles, testFile].filter((name) => !existsSync(join(place, name)));
  if (missing.length > 0)
    throw new ThawError('THAW_DATA_INVALID', `${place} lacks ${missing.join(', ')} of CIFAR-10.`, {
      cure: 'Unpack the binary version of CIFAR-10 (cifar-10-binary.tar.gz) and give its folder.',
    });
  return {
    train: cifar10Source(await Promise.all(trainFiles.map((name) => readIdx(join(place, name))))),
    test: cifar10Source([await readIdx(join(place, testFile))]),
  };
}
