import { ThawError } from '@thaw/shared/protocol';
import type { NamedAttrMap, TensorInfo } from '@tensorflow/tfjs-core';
import { broadcast_util } from '@tensorflow/tfjs-core';
import type { KernelCall, KernelRule, KernelTable } from '../kernel.js';
import type { Recording } from '../recording.js';
import { convolutionKernels } from './convolution.js';
import { matmulKernels } from './matmul.js';

/** An elementwise operation of two values that broadcast. */
const pair = (recording: Recording, op: string, a: TensorInfo, b: TensorInfo, dtype = a.dtype): TensorInfo =>
  recording.node(op, [a, b], {}, broadcast_util.assertAndGetBroadcastShape(a.shape, b.shape), dtype);

const single = (recording: Recording, op: string, x: TensorInfo, attributes = {}): TensorInfo =>
  recording.node(op, [x], attributes, x.shape, x.dtype);

const number = (recording: Recording, value: number): TensorInfo => recording.constant([value], [], 'float32');

/** x where it is positive, alpha x elsewhere. */
function prelu(recording: Recording, x: TensorInfo, alpha: TensorInfo): TensorInfo {
  const positive = pair(recording, 'Greater', x, number(recording, 0), 'bool');
  const scaled = pair(recording, 'Multiply', x, alpha);
  return recording.node('Select', [positive, x, scaled], {}, scaled.shape, x.dtype);
}

/** What tfjs's fused kernels may do last. */
function activated({ inputs, attributes, recording }: KernelCall, x: TensorInfo): TensorInfo {
  const name = (attributes['activation'] as string | undefined) ?? 'linear';
  switch (name) {
    case 'linear':
      return x;
    case 'relu':
      return single(recording, 'Relu', x);
    case 'relu6':
      return single(recording, 'Relu6', x);
    case 'elu':
      return single(recording, 'Elu', x);
    case 'sigmoid':
      return single(recording, 'Sigmoid', x);
    case 'leakyrelu':
      return single(recording, 'LeakyRelu', x, { alpha: (attributes['leakyreluAlpha'] as number | undefined) ?? 0.2 });
    case 'prelu':
      return prelu(recording, x, inputs['preluActivationWeights']!);
    default:
      throw new ThawError('THAW_ENGINE_PROGRAM_INVALID', `the activation '${name}' of a fused kernel cannot be traced`);
  }
}

/** A kernel followed by a bias and an activation, as tfjs fuses them where no gradient is taken. */
const fused =
  (rule: KernelRule): KernelRule =>
  (call) => {
    const { inputs, recording } = call;
    const result = rule(call) as TensorInfo;
    const bias = inputs['bias'];
    return activated(call, bias === undefined ? result : pair(recording, 'Add', result, bias));
  };

/** (x - mean) / sqrt(variance + epsilon) * scale + offset, statistics per channel. */
function batchNorm(
  recording: Recording,
  { x, mean, variance, scale, offset }: Readonly<Record<string, TensorInfo | undefined>>,
  attributes: NamedAttrMap,
): TensorInfo {
  const epsilon = number(recording, (attributes['varianceEpsilon'] as number | undefined) ?? 0.001);
  const deviation = single(recording, 'Rsqrt', pair(recording, 'Add', variance!, epsilon));
  const factor = scale === undefined ? deviation : pair(recording, 'Multiply', deviation, scale);
  const centred = pair(recording, 'Multiply', pair(recording, 'Sub', x!, mean!), factor);
  return offset === undefined ? centred : pair(recording, 'Add', centred, offset);
}

/** Kernels that are several in one; recorded as those. */
export const fusedKernels: KernelTable = {
  _FusedMatMul: fused(matmulKernels['BatchMatMul']!),
  FusedConv2D: fused(convolutionKernels['Conv2D']!),
  FusedDepthwiseConv2D: fused(convolutionKernels['DepthwiseConv2dNative']!),
  FusedBatchNorm: ({ inputs, attributes, recording }) => batchNorm(recording, inputs, attributes),
  Prelu: ({ inputs, recording }) => prelu(recording, inputs['x']!, inputs['alpha']!),
};
