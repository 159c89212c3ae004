import * as tf from '@tensorflow/tfjs-core';
import type { BackendValues, DataId, DataType } from '@tensorflow/tfjs-core';
import { ThawError } from '@thaw/shared/protocol';
import { onBackend } from '../program/index.js';
import { sizeOf } from '../graph/shape.js';
import { Recording } from './recording.js';
import { kernelFamilies } from './registry.js';
import { currentDraw, currentSegment } from './scopes.js';

export const tracingBackendName = 'thaw-trace';

/** A tfjs backend that computes nothing: data ids stand for values of the recording in progress. */
class TracingBackend extends tf.KernelBackend {
  recording: Recording | undefined;

  get current(): Recording {
    if (this.recording === undefined)
      throw new ThawError('THAW_ENGINE_FOREIGN_TENSOR', 'a tensor of a program that is already traced was used');
    return this.recording;
  }

  override write(values: BackendValues, shape: number[], dtype: DataType): DataId {
    const draw = currentDraw();
    if (draw !== undefined)
      throw new ThawError(
        'THAW_ENGINE_PROGRAM_INVALID',
        `tf.${draw} would draw once, and every call get the same numbers`,
        {
          cure: 'Draw outside of the function, for instance with RandomStream of @thaw/shared/runtime, and hand the numbers in as an input.',
        },
      );
    const data = values === null ? new Float32Array(sizeOf(shape)) : (values as ArrayLike<number>);
    return this.current.upload(data, shape, dtype).dataId as DataId;
  }

  /** Constants can be read (tfjs looks at some), anything computed cannot. */
  override readSync(dataId: object): BackendValues {
    const value = this.current.lookUp(dataId);
    if (value?.source.kind === 'constant') return expand(value.source.data, sizeOf(value.shape));
    throw new ThawError('THAW_ENGINE_VALUE_READ', this.#describe(value));
  }

  override read(dataId: object): Promise<BackendValues> {
    return Promise.resolve(this.readSync(dataId));
  }

  /** Called by tfjs when a tensor of another backend is asked for. */
  override move(): void {
    throw new ThawError(
      'THAW_ENGINE_FOREIGN_TENSOR',
      'a tensor of another tfjs backend was used by the program being traced',
    );
  }

  override disposeData(): boolean {
    return true;
  }
  override incRef(): void {}
  decRef(): void {}
  override refCount(): number {
    return 1;
  }
  override numDataIds(): number {
    return 0;
  }
  override floatPrecision(): 32 {
    return 32;
  }
  override epsilon(): number {
    return 1e-7;
  }
  override memory(): { unreliable: boolean } {
    return { unreliable: true };
  }
  override timerAvailable(): boolean {
    return false;
  }
  override dispose(): void {}

  #describe(value: ReturnType<Recording['lookUp']>): string {
    if (value === undefined) return 'the value of an unknown tensor was read';
    const shape = `[${value.shape.join(', ')}]`;
    if (value.source.kind === 'weight' || value.source.kind === 'input')
      return `the value of the ${value.source.kind} '${value.source.name}' ${shape} was read`;
    const op = value.source.kind === 'node' ? this.current.nodes[value.source.node]!.op : 'constant';
    return `the value of the result of ${op} ${shape} was read`;
  }
}

/** A constant as tfjs wants it: one element per position. */
function expand(data: Float32Array | Int32Array | Uint8Array, size: number): Float32Array | Int32Array | Uint8Array {
  if (data.length === size) return data.slice();
  const Type = data.constructor as Float32ArrayConstructor;
  return new Type(size).fill(data[0]!);
}

let instance: TracingBackend | undefined;

/** Registers the backend and its kernels in tfjs, once in a process. */
function tracingBackend(): TracingBackend {
  if (instance !== undefined) return instance;
  const backend = new TracingBackend();
  tf.registerBackend(tracingBackendName, () => backend, 0);
  for (const table of Object.values(kernelFamilies))
    for (const [kernelName, rule] of Object.entries(table))
      tf.registerKernel({
        kernelName,
        backendName: tracingBackendName,
        kernelFunc: ({ inputs, attrs }) => {
          const recording = backend.current;
          recording.segment = currentSegment();
          recording.reader = kernelName;
          try {
            const attributes = attrs ?? {};
            const result = rule({ inputs: inputs as Record<string, tf.TensorInfo>, attributes, recording });
            recording.tape.call(kernelName, inputs, attributes, Array.isArray(result) ? result : [result]);
            return result;
          } finally {
            recording.reader = undefined;
          }
        },
      });
  instance = backend;
  return backend;
}

/**
 * Runs `body` with the tracing backend as tfjs's global backend and a fresh recording, then restores what was there.
 * Everything that `body` makes is disposed. Not re-entrant.
 */
export function record<T>(body: (recording: Recording) => T): T {
  const backend = tracingBackend();
  if (backend.recording !== undefined)
    throw new ThawError('THAW_ENGINE_PROGRAM_INVALID', 'a program was traced by a program');
  const recording = new Recording();
  backend.recording = recording;
  try {
    return onBackend(tracingBackendName, () => body(recording));
  } finally {
    backend.recording = undefined;
  }
}
