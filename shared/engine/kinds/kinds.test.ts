import { describe, expect, it } from 'vitest';
import { doctor } from '../open.js';
import * as tf from '@tensorflow/tfjs-core';
import { lower, plainOptions, type OperatorUse } from '../lower/index.js';
import { onnxOpsetVersion } from '../onnx/index.js';
import { trace } from '../trace/index.js';
import type { ProgramDefinition } from '../types.js';
import { cudaOperators, notDocumentedForCuda } from './cuda-operators.js';
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

describe('the check of CUDA operators', () => {
  const use = (operator: string, inputs: OperatorUse['inputs'], output = inputs[0]!, domain = ''): OperatorUse => ({
    node: `Conv2D.3/${operator}.7`,
    operator,
    domain,
    inputs,
    output,
  });

  it.each([
    [use('Add', ['float32', 'float32']), undefined],
    [use('Equal', ['bool', 'bool'], 'bool'), undefined],
    [use('Pad', ['float32', 'int64', 'float32']), undefined],
    [use('Concat', ['int64', 'int64', 'int64']), undefined],
    [use('Slice', ['int32', 'int64', 'int64', 'int64', 'int64']), undefined],
    [use('FusedMatMul', ['float32', 'float32'], 'float32', 'com.microsoft'), 'has no com.microsoft.FusedMatMul'],
    [use('IsFinite', ['float32'], 'bool'), 'has no IsFinite'],
    [use('Pad', ['int32', 'int64', 'int32']), 'has no Pad of int32, int64, int32 to int32'],
    [use('GatherND', ['int32', 'int64']), 'has no GatherND of int32, int64 to int32'],
    [use('Add', ['float32', 'int32']), 'has no Add of float32, int32 to float32'],
    [use('Equal', ['float32', 'float32'], 'float32'), 'has no Equal of float32, float32 to float32'],
  ])('%j: %s', (operator, problem) => {
    if (problem === undefined) expect(notDocumentedForCuda(operator)).toBeUndefined();
    else expect(notDocumentedForCuda(operator)).toContain(problem);
  });

  it('has rows that hold for the operator set that graphs are written in', () => {
    for (const [operator, { operatorSets }] of cudaOperators) {
      expect(operatorSets[0], operator).toBeLessThanOrEqual(onnxOpsetVersion);
      expect(operatorSets[1] ?? Infinity, operator).toBeGreaterThanOrEqual(onnxOpsetVersion);
    }
  });

  it('refuses a program when it is lowered, naming the tfjs operation', () => {
    const program: ProgramDefinition = {
      name: 'padded rows',
      weights: {},
      inputs: { rows: { shape: [2], dtype: 'int32' } },
      fn: (_, { rows }) => ({ y: tf.pad(rows!, [[1, 0]]) }),
    };
    const lowered = () => lower(trace(program), { ...plainOptions, missing: notDocumentedForCuda });
    expect(lowered).toThrow(/program 'padded rows' cannot be computed: the CUDA provider has no Pad of int32.*PadV2/);
    expect(lowered).toThrow(expect.objectContaining({ code: 'THAW_ENGINE_UNSUPPORTED_OP' }));
    expect(lower(trace(program), plainOptions).outputs).toHaveLength(1);
  });
});

it('doctor says what the CUDA provider lacks, where there is none', async () => {
  const cuda = (await doctor()).find(({ kind }) => kind === 'onnx-cuda')!;
  if (cuda.available) return;
  expect(cuda.reason).toMatch(/is not installed|is missing|only, not for|does not start/);
});
