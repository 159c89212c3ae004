import ort from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeModel } from '../../onnx/index.js';
import { fillResults } from './fill-results.js';

const spec = (name: string) => ({ name, dtype: 'float32' as const, shape: [2, 2] });
const node = (op: string, inputs: readonly string[], output: string) => ({
  name: output,
  op,
  domain: '',
  inputs,
  outputs: [output],
  attributes: {},
});
const tensor = (data: Float32Array): ort.Tensor => new ort.Tensor('float32', data, [2, 2]);

let session: ort.InferenceSession;
beforeAll(async () => {
  const onnx = encodeModel({
    graphName: 'test',
    nodes: [node('Add', ['x', 'x'], 'sum'), node('MatMul', ['x', 'x'], 'square')],
    initializers: [],
    inputs: [spec('x')],
    outputs: [spec('sum'), spec('square')],
  });
  session = await ort.InferenceSession.create(onnx);
});
afterAll(() => session.release());

describe('fillResults', () => {
  it('fills the arrays it is given, at any place of a buffer', async () => {
    const all = new Float32Array(11).fill(-1);
    const [sum, square] = [all.subarray(1, 5), all.subarray(6, 10)];
    const x = Float32Array.of(1, 2, 3, 4);
    await fillResults(session, { x: tensor(x) }, { sum: tensor(sum), square: tensor(square) });
    expect([...all]).toEqual([-1, 2, 4, 6, 8, -1, 7, 10, 15, 22, -1]);
    x[0] = 0;
    await fillResults(session, { x: tensor(x) }, { sum: tensor(sum), square: tensor(square) });
    expect([...square]).toEqual([6, 8, 12, 22]);
  });

  it('leaves errors as they are, and sessions as they were', async () => {
    const x = new ort.Tensor('float32', new Float32Array(3), [3]);
    const results = { sum: tensor(new Float32Array(4)), square: tensor(new Float32Array(4)) };
    await expect(fillResults(session, { x }, results)).rejects.toThrow(/Invalid rank for input: x/);
    const { sum } = await session.run({ x: tensor(Float32Array.of(1, 2, 3, 4)) });
    expect([...(sum!.data as Float32Array)]).toEqual([2, 4, 6, 8]);
  });
});
