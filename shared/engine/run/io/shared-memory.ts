import ort from 'onnxruntime-node';
import { encodeModel } from '../../onnx/index.js';
import { sessionOptions } from '../session-options.js';

const spec = (name: string) => ({ name, dtype: 'float32' as const, shape: [4] });
const negation = encodeModel({
  graphName: 'negation',
  nodes: [{ name: 'negation', op: 'Neg', domain: '', inputs: ['x'], outputs: ['y'], attributes: {} }],
  initializers: [],
  inputs: [spec('x')],
  outputs: [spec('y')],
});

/**
 * Whether the binding reads tensors on shared memory, so that weights need not be copied: where Node's native interface does (22.23 and
 * 24.21, not 20.20). Tried out, since it is documented nowhere.
 */
export async function readsSharedMemory(provider: string): Promise<boolean> {
  const session = await ort.InferenceSession.create(negation, sessionOptions(provider));
  try {
    const x = new Float32Array(new SharedArrayBuffer(32), 16, 4);
    x.set([1, -2, 3, -4]);
    const { y } = await session.run({ x: new ort.Tensor('float32', x, [4]) });
    return String(y!.data) === '-1,2,-3,4';
  } catch {
    return false;
  } finally {
    await session.release();
  }
}
