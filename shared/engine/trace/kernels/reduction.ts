import { axesOf, axisOf, type KernelRule, type KernelTable } from '../kernel.js';

const reduction =
  (op: string): KernelRule =>
  ({ inputs, attributes, recording }) => {
    const x = inputs['x']!;
    const named = (attributes['axis'] ?? attributes['reductionIndices']) as number | number[] | undefined;
    const axes = axesOf(named, x.shape.length);
    const keepDims = attributes['keepDims'] === true;
    const shape = keepDims
      ? x.shape.map((length, axis) => (axes.includes(axis) ? 1 : length))
      : x.shape.filter((_, axis) => !axes.includes(axis));
    const dtype = op === 'Sum' && x.dtype === 'bool' ? 'int32' : x.dtype;
    return recording.node(op, [x], { axes, keepDims }, shape, dtype);
  };

const argument =
  (op: string): KernelRule =>
  ({ inputs, attributes, recording }) => {
    const x = inputs['x']!;
    const axis = axisOf(attributes['axis'] as number, x.shape.length);
    return recording.node(
      op,
      [x],
      { axis },
      x.shape.filter((_, i) => i !== axis),
      'int32',
    );
  };

const alongAxis =
  (op: string, input: string, attribute: string): KernelRule =>
  ({ inputs, attributes, recording }) => {
    const x = inputs[input]!;
    const axis = axisOf((attributes[attribute] as number | undefined) ?? -1, x.shape.length);
    return recording.node(op, [x], { axis }, x.shape, x.dtype);
  };

export const reductionKernels: KernelTable = {
  ...Object.fromEntries(['Sum', 'Mean', 'Max', 'Min', 'Prod', 'Any', 'All'].map((op) => [op, reduction(op)])),
  ArgMax: argument('ArgMax'),
  ArgMin: argument('ArgMin'),
  Softmax: alongAxis('Softmax', 'logits', 'dim'),
  LogSoftmax: alongAxis('LogSoftmax', 'logits', 'axis'),
  Cumsum: ({ inputs, attributes, recording }) => {
    const x = inputs['x']!;
    const axis = axisOf(attributes['axis'] as number, x.shape.length);
    const flags = { exclusive: attributes['exclusive'] === true, reverse: attributes['reverse'] === true };
    return recording.node('Cumsum', [x], { axis, ...flags }, x.shape, x.dtype);
  },
};
