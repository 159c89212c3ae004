import { util } from '@tensorflow/tfjs-core';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { sizeOf } from '../../graph/shape.js';
import { axesOf, axisOf, type KernelTable } from '../kernel.js';
import type { Recording } from '../recording.js';

export function reshape(recording: Recording, x: TensorInfo, shape: readonly number[]): TensorInfo {
  if (shape.length === x.shape.length && shape.every((length, axis) => length === x.shape[axis]))
    return recording.same(x);
  return recording.node('Reshape', [x], {}, shape, x.dtype);
}

/** Kernels that rearrange or repeat positions without arithmetic. */
export const shapeKernels: KernelTable = {
  Reshape: ({ inputs, attributes, recording }) => {
    const x = inputs['x']!;
    return reshape(recording, x, util.inferFromImplicitShape(attributes['shape'] as number[], sizeOf(x.shape)));
  },
  ExpandDims: ({ inputs, attributes, recording }) => {
    const x = inputs['input']!;
    const shape = [...x.shape];
    shape.splice(axisOf(attributes['dim'] as number, shape.length + 1), 0, 1);
    return reshape(recording, x, shape);
  },
  Transpose: ({ inputs, attributes, recording }) => {
    const x = inputs['x']!;
    const perm = [...(attributes['perm'] as number[])];
    if (perm.every((from, axis) => from === axis)) return recording.same(x);
    return recording.node(
      'Transpose',
      [x],
      { perm },
      perm.map((axis) => x.shape[axis]!),
      x.dtype,
    );
  },
  Reverse: ({ inputs, attributes, recording }) => {
    const x = inputs['x']!;
    const axes = axesOf(attributes['dims'] as number[], x.shape.length);
    return recording.node('Reverse', [x], { axes }, x.shape, x.dtype);
  },
  Tile: ({ inputs, attributes, recording }) => {
    const x = inputs['x']!;
    const reps = [...(attributes['reps'] as number[])];
    return recording.node(
      'Tile',
      [x],
      { reps },
      x.shape.map((length, axis) => length * reps[axis]!),
      x.dtype,
    );
  },
  BroadcastTo: ({ inputs, attributes, recording }) => {
    const x = inputs['x']!;
    return recording.node('BroadcastTo', [x], {}, attributes['shape'] as number[], x.dtype);
  },
  PadV2: ({ inputs, attributes, recording }) => {
    const x = inputs['x']!;
    const paddings = (attributes['paddings'] as [number, number][]).map(([before, after]) => [before, after]);
    const shape = x.shape.map((length, axis) => length + paddings[axis]![0]! + paddings[axis]![1]!);
    const constantValue = (attributes['constantValue'] as number | undefined) ?? 0;
    return recording.node('PadV2', [x], { paddings, constantValue }, shape, x.dtype);
  },
  MirrorPad: ({ inputs, attributes, recording }) => {
    const x = inputs['x']!;
    const paddings = (attributes['paddings'] as [number, number][]).map(([before, after]) => [before, after]);
    const shape = x.shape.map((length, axis) => length + paddings[axis]![0]! + paddings[axis]![1]!);
    return recording.node('MirrorPad', [x], { paddings, mode: attributes['mode'] as string }, shape, x.dtype);
  },
};
