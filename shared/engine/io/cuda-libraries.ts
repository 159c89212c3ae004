import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { missingLibrary } from '../kinds/missing-library.js';

const providerFile = 'libonnxruntime_providers_cuda.so';

/**
 * Why the CUDA provider of onnxruntime-node does not load, as far as that can be found out: its file is not there, or a library that it
 * needs. Undefined when neither is the reason. Loads the provider's library into the process.
 */
export function cudaLibraryProblem(): string | undefined {
  const { platform, arch } = process;
  if (platform !== 'linux' || arch !== 'x64')
    return `the package has a CUDA provider for linux-x64 only, not for ${platform}-${arch}`;
  const root = dirname(createRequire(import.meta.url).resolve('onnxruntime-node/package.json'));
  const file = join(root, 'bin', 'napi-v6', platform, arch, providerFile);
  if (!existsSync(file))
    return `${providerFile} is not installed (ONNXRUNTIME_NODE_INSTALL=cuda12 node ${join('node_modules', 'onnxruntime-node', 'script', 'install')} fetches it)`;
  try {
    process.dlopen({ exports: {} }, file);
    return undefined;
  } catch (error) {
    const missing = missingLibrary((error as Error).message);
    return missing === undefined ? undefined : `the shared library ${missing} is missing`;
  }
}
