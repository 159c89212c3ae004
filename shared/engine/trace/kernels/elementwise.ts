import { broadcast_util } from '@tensorflow/tfjs-core';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import type { GraphDType } from '../../types.js';
import type { KernelRule, KernelTable } from '../kernel.js';

const unaryOps = [
  'Abs',
  'Neg',
  'Exp',
  'Expm1',
  'Log',
  'Log1p',
  'Erf',
  'Sqrt',
  'Rsqrt',
  'Square',
  'Reciprocal',
  'Sign',
  'Floor',
  'Ceil',
  'Round',
  'Sin',
  'Cos',
  'Tan',
  'Atan',
  'Tanh',
  'Sigmoid',
  'Softplus',
  'Relu',
  'Relu6',
  'Elu',
  'Selu',
] as const;
const binaryOps = [
  'Add',
  'Sub',
  'Multiply',
  'RealDiv',
  'FloorDiv',
  'Mod',
  'Maximum',
  'Minimum',
  'SquaredDifference',
  'Pow',
  'Atan2',
] as const;
const classifyingOps = ['IsNan', 'IsInf', 'IsFinite'] as const;
const comparisonOps = [
  'Greater',
  'GreaterEqual',
  'Less',
  'LessEqual',
  'Equal',
  'NotEqual',
  'LogicalAnd',
  'LogicalOr',
] as const;

const unary =
  (op: string, dtype?: GraphDType): KernelRule =>
  ({ inputs, recording }) => {
    const x = inputs['x']!;
    return recording.node(op, [x], {}, x.shape, dtype ?? x.dtype);
  };

const binary =
  (op: string, dtype?: GraphDType): KernelRule =>
  ({ inputs, recording }) => {
    const a = inputs['a']!;
    const b = inputs['b']!;
    return recording.node(
      op,
      [a, b],
      {},
      broadcast_util.assertAndGetBroadcastShape(a.shape, b.shape),
      dtype ?? a.dtype,
    );
  };

const table = (ops: readonly string[], rule: (op: string) => KernelRule): KernelTable =>
  Object.fromEntries(ops.map((op) => [op, rule(op)]));

export const elementwiseKernels: KernelTable = {
  ...table(unaryOps, (op) => unary(op)),
  ...table(classifyingOps, (op) => unary(op, 'bool')),
  ...table(binaryOps, (op) => binary(op)),
  ...table(comparisonOps, (op) => binary(op, 'bool')),
  LogicalNot: unary('LogicalNot', 'bool'),
  Identity: ({ inputs, recording }) => recording.same(inputs['x']!),
  Step: ({ inputs, attributes, recording }) => {
    const x = inputs['x']!;
    return recording.node('Step', [x], { alpha: (attributes['alpha'] as number | undefined) ?? 0 }, x.shape, x.dtype);
  },
  LeakyRelu: ({ inputs, attributes, recording }) => {
    const x = inputs['x']!;
    return recording.node('LeakyRelu', [x], { alpha: attributes['alpha'] as number }, x.shape, x.dtype);
  },
  EluGrad: ({ inputs, recording }) => {
    const dy = inputs['dy']!;
    return recording.node('EluGrad', [dy, inputs['y']!], {}, dy.shape, dy.dtype);
  },
  ClipByValue: ({ inputs, attributes, recording }) => {
    const x = inputs['x']!;
    const limits = { min: attributes['clipValueMin'] as number, max: attributes['clipValueMax'] as number };
    return recording.node('ClipByValue', [x], limits, x.shape, x.dtype);
  },
  Cast: ({ inputs, attributes, recording }) => {
    const x = inputs['x']!;
    const dtype = attributes['dtype'] as GraphDType;
    return dtype === x.dtype ? recording.same(x) : recording.node('Cast', [x], { dtype }, x.shape, dtype);
  },
  Select: ({ inputs, recording }) => {
    const [condition, t, e] = [inputs['condition']!, inputs['t']!, inputs['e']!];
    // tfjs lets a condition of rank 1 choose whole rows of higher-rank tensors; spelt out here as broadcasting.
    const rowwise = condition.shape.length === 1 && t.shape.length > 1;
    const shape = [...condition.shape, ...t.shape.slice(1).map(() => 1)];
    const mask = rowwise ? recording.node('Reshape', [condition], {}, shape, 'bool') : condition;
    return recording.node('Select', [mask, t, e], {}, t.shape, t.dtype);
  },
  AddN: ({ inputs, recording }) => {
    const terms: TensorInfo[] = Object.values(inputs);
    return terms.reduce((sum, term) => recording.node('Add', [sum, term], {}, sum.shape, sum.dtype));
  },
};
