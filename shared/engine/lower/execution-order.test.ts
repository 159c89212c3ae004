import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { encodeModel } from '../onnx/index.js';
import type { OnnxNode } from '../onnx/index.js';
import { executionOrder } from './execution-order.js';

const node = (name: string, inputs: readonly string[], op = 'Add'): OnnxNode => ({
  name,
  op,
  domain: '',
  inputs,
  outputs: [name],
  attributes: {},
});

/** Two chains from x and two leaves: what an order can differ in. */
const nodes = [
  node('a', ['x', 'x']),
  node('b', ['a', 'x'], 'Mul'),
  node('c', ['x', 'a'], 'Sub'),
  node('d', ['c', 'b']),
  node('e', ['b', 'x'], 'Sub'),
  node('first', ['d', 'e']),
  node('second', ['e', 'a'], 'Mul'),
];

/** The order in which ONNX Runtime ran them, by its own profile. */
async function measuredOrder(): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'thaw-order-'));
  const tensor = (name: string) => ({ name, dtype: 'float32' as const, shape: [4] });
  try {
    const onnx = encodeModel({
      graphName: 'order',
      nodes,
      initializers: [],
      inputs: [tensor('x')],
      outputs: [tensor('first'), tensor('second')],
    });
    const session = await ort.InferenceSession.create(onnx, {
      graphOptimizationLevel: 'all',
      enableProfiling: true,
      profileFilePrefix: join(folder, 'profile'),
    });
    await session.run({ x: new ort.Tensor('float32', Float32Array.of(1, 2, 3, 4), [4]) });
    session.endProfiling();
    await session.release();
    const events = JSON.parse(readFileSync(join(folder, readdirSync(folder)[0]!), 'utf8')) as { name: string }[];
    return events.flatMap(({ name }) => /^(.+)_kernel_time$/.exec(name)?.[1] ?? []);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

describe('executionOrder', () => {
  it('is the order in which ONNX Runtime runs', async () => {
    const order = executionOrder(nodes).map(({ name }) => name);
    expect(order).toEqual(await measuredOrder());
    expect(order).not.toEqual(nodes.map(({ name }) => name));
  });
});
