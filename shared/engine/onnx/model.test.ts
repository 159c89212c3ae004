import ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { encodeModel, ProtobufWriter } from './index.js';
import type { OnnxModel } from './index.js';

const affine: OnnxModel = {
  graphName: 'affine',
  nodes: [
    { name: 'Multiply.0/Mul', op: 'Mul', domain: '', inputs: ['x', 'scale'], outputs: ['scaled'], attributes: {} },
    {
      name: 'Add.1/LeakyRelu',
      op: 'LeakyRelu',
      domain: '',
      inputs: ['scaled'],
      outputs: ['y'],
      attributes: { alpha: { float: -0.5 } },
    },
    { name: 'Transpose.2', op: 'Transpose', domain: '', inputs: ['y'], outputs: ['z'], attributes: { perm: [1, 0] } },
  ],
  initializers: [{ name: 'scale', dtype: 'float32', shape: [3], data: Float32Array.of(1, -2, 300) }],
  inputs: [{ name: 'x', dtype: 'float32', shape: [2, 3] }],
  outputs: [{ name: 'z', dtype: 'float32', shape: [3, 2] }],
};

describe('encodeModel', () => {
  it('writes a file that ONNX Runtime loads and computes as written', async () => {
    const session = await ort.InferenceSession.create(encodeModel(affine));
    const { z } = await session.run({ x: new ort.Tensor('float32', Float32Array.of(1, 1, 1, -1, 4, 0), [2, 3]) });
    expect([...(z!.data as Float32Array)]).toEqual([1, 0.5, 1, 4, 300, 0].map(Math.fround));
    expect(z!.dims).toEqual([3, 2]);
    await session.release();
  });

  it('gives equal bytes for equal models and other bytes for another constant', () => {
    expect(encodeModel(structuredClone(affine))).toEqual(encodeModel(affine));
    const other = {
      ...affine,
      initializers: [{ ...affine.initializers[0]!, data: Float32Array.of(1, -2, 301) }],
    };
    expect(encodeModel(other)).not.toEqual(encodeModel(affine));
  });

  it('is refused by ONNX Runtime when an operator does not exist, naming the node', async () => {
    const broken = {
      ...affine,
      nodes: affine.nodes.map((node) => ({ ...node, op: node.op === 'Mul' ? 'Mulx' : node.op })),
    };
    await expect(ort.InferenceSession.create(encodeModel(broken))).rejects.toThrow(/Multiply\.0\/Mul/);
  });
});

describe('ProtobufWriter', () => {
  it('encodes the examples of the wire format documentation', () => {
    expect([...new ProtobufWriter().integer(1, 150).finish()]).toEqual([0x08, 0x96, 0x01]);
    expect([...new ProtobufWriter().string(2, 'testing').finish()]).toEqual([0x12, 7, ...Buffer.from('testing')]);
    expect([...new ProtobufWriter().message(3, new ProtobufWriter().integer(1, 150)).finish()]).toEqual([
      0x1a, 3, 0x08, 0x96, 0x01,
    ]);
    expect([...new ProtobufWriter().integer(1, -2).finish()]).toEqual([
      0x08, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
    ]);
    expect([...new ProtobufWriter().float(2, 1).finish()]).toEqual([0x15, 0, 0, 0x80, 0x3f]);
  });
});
