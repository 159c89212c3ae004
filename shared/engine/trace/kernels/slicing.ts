import { backend_util, slice_util, util } from '@tensorflow/tfjs-core';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { sizeOf } from '../../graph/shape.js';
import { axisOf, type KernelTable } from '../kernel.js';
import type { Recording } from '../recording.js';
import { reshape } from './shape.js';

function slice(recording: Recording, x: TensorInfo, begin: readonly number[], size: readonly number[]): TensorInfo {
  const whole = size.every((length, axis) => length === x.shape[axis]);
  return whole ? recording.same(x) : recording.node('Slice', [x], { begin, size }, size, x.dtype);
}

/** The slice of `length` positions from `begin` along one axis. */
function sliceAxis(recording: Recording, x: TensorInfo, axis: number, begin: number, length: number): TensorInfo {
  const begins = x.shape.map((_, i) => (i === axis ? begin : 0));
  const sizes = x.shape.map((whole, i) => (i === axis ? length : whole));
  return slice(recording, x, begins, sizes);
}

function concat(recording: Recording, parts: readonly TensorInfo[], axis: number): TensorInfo {
  const filled = parts.filter((part) => sizeOf(part.shape) > 0);
  const [first = parts[0]!] = filled;
  if (filled.length <= 1) return recording.same(first);
  const shape = [...first.shape];
  shape[axis] = filled.reduce((sum, part) => sum + part.shape[axis]!, 0);
  return recording.node('Concat', filled, { axis }, shape, first.dtype);
}

/** Kernels that cut tensors apart or join them. */
export const slicingKernels: KernelTable = {
  Slice: ({ inputs, attributes, recording }) => {
    const x = inputs['x']!;
    const [begin, size] = slice_util.parseSliceParams(
      x,
      attributes['begin'] as number[],
      attributes['size'] as number[],
    );
    slice_util.assertParamsValid(x, begin!, size!);
    return slice(recording, x, begin!, size!);
  },
  StridedSlice: ({ inputs, attributes, recording }) => {
    const x = inputs['x']!;
    const mask = (name: string): number => (attributes[name] as number | undefined) ?? 0;
    const info = slice_util.sliceInfo(
      x.shape,
      attributes['begin'] as number[],
      attributes['end'] as number[],
      attributes['strides'] as number[],
      mask('beginMask'),
      mask('endMask'),
      mask('ellipsisMask'),
      mask('newAxisMask'),
      mask('shrinkAxisMask'),
    );
    if (info.isIdentity) return reshape(recording, x, info.finalShape);
    const { begin, strides } = info;
    // sliceInfo leaves `end` as -1 for "before the first position" when a stride is negative: that is -1 - length in ONNX.
    const end = info.end.map((position, axis) => (strides[axis]! < 0 && position < 0 ? -1 - x.shape[axis]! : position));
    const sparse = info.finalShapeSparse.length === x.shape.length ? info.finalShapeSparse : undefined;
    const shape =
      sparse ?? x.shape.map((_, axis) => Math.max(0, Math.ceil((info.end[axis]! - begin[axis]!) / strides[axis]!)));
    const taken = recording.node('StridedSlice', [x], { begin, end, strides }, shape, x.dtype);
    return reshape(recording, taken, info.finalShape);
  },
  Concat: ({ inputs, attributes, recording }) => {
    const parts = Object.values(inputs);
    return concat(recording, parts, axisOf(attributes['axis'] as number, parts[0]!.shape.length));
  },
  SplitV: ({ inputs, attributes, recording }) => {
    const x = inputs['x']!;
    const axis = util.parseAxisParam(attributes['axis'] as number, x.shape)[0]!;
    const sizes = backend_util.prepareSplitSize(
      x as Parameters<typeof backend_util.prepareSplitSize>[0],
      attributes['numOrSizeSplits'] as number[],
      axis,
    );
    let begin = 0;
    return sizes.map((size) => {
      const part = sliceAxis(recording, x, axis, begin, size);
      begin += size;
      return part;
    });
  },
  Pack: ({ inputs, attributes, recording }) => {
    const parts = Object.values(inputs);
    const axis = axisOf(attributes['axis'] as number, parts[0]!.shape.length + 1);
    const shape = [...parts[0]!.shape];
    shape.splice(axis, 0, 1);
    return concat(
      recording,
      parts.map((part) => reshape(recording, part, shape)),
      axis,
    );
  },
  Unpack: ({ inputs, attributes, recording }) => {
    const x = inputs['value']!;
    const axis = axisOf(attributes['axis'] as number, x.shape.length);
    const shape = x.shape.filter((_, i) => i !== axis);
    return Array.from({ length: x.shape[axis]! }, (_, i) =>
      reshape(recording, sliceAxis(recording, x, axis, i, 1), shape),
    );
  },
};
