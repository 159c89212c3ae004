import { describe, expect, it } from 'vitest';
import { doctor } from '../open.js';
import { notDocumentedForCuda } from './cuda-operators.js';
import { missingLibrary } from './missing-library.js';

describe('the loader’s message', () => {
  it.each([
    ['libcublasLt.so.12: cannot open shared object file: No such file or directory', 'libcublasLt.so.12'],
    [
      'Failed to load library libonnxruntime_providers_cuda.so with error: libcudnn.so.9: cannot open shared object file: No such file or directory',
      'libcudnn.so.9',
    ],
    ['Error loading shared library libcudart.so.12: No such file or directory (needed by /a/b.so)', 'libcudart.so.12'],
    [
      'dlopen(/a/b.node, 0x0001): Library not loaded: @rpath/libtensorflow.2.dylib\n  Referenced from: <X>',
      '@rpath/libtensorflow.2.dylib',
    ],
  ])('names the missing library: %s', (message, library) => {
    expect(missingLibrary(message)).toBe(library);
  });

  it('is left alone when it says something else', () => {
    expect(missingLibrary("Module did not self-register: '/a/b.so'.")).toBeUndefined();
    expect(missingLibrary('/a/b.so: undefined symbol: Provider_GetHost')).toBeUndefined();
  });
});

it('the check of CUDA operators names each one that is not documented once', () => {
  expect(notDocumentedForCuda(['Conv', 'FusedMatMul', 'Add', 'ReorderInput', 'FusedMatMul', 'Add'])).toEqual([
    'FusedMatMul',
    'ReorderInput',
  ]);
});

it('doctor says what the CUDA provider lacks, where there is none', async () => {
  const cuda = (await doctor()).find(({ kind }) => kind === 'onnx-cuda')!;
  if (cuda.available) return;
  expect(cuda.reason).toMatch(/is not installed|is missing|only, not for|does not start/);
});
