import type { Program, StoredWeight, TensorData } from '../types.js';

/** A weight that becomes a constant of the graph. */
export interface FixedWeight {
  readonly weight: StoredWeight;
  /** Model layout, best on shared memory: every worker reads it. */
  readonly values: Float32Array;
}

/** What the pool tells a worker. One worker does one thing at a time, in order. */
export type WorkerRequest =
  | { readonly type: 'load'; readonly program: Program; readonly fixedWeights?: readonly FixedWeight[] }
  | { readonly type: 'unload'; readonly digest: string }
  | {
      readonly type: 'run';
      readonly call: number;
      readonly digest: string;
      /** In the order of the program's weights. Absent when the worker has this version already. */
      readonly weights?: readonly Float32Array[];
      /** In the order of the program's inputs. */
      readonly inputs: readonly TensorData[];
      /** In the order of the program's outputs: arrays to be filled, handed over with the message. */
      readonly results?: readonly (TensorData | undefined)[];
    }
  | { readonly type: 'close' };

/** What a worker tells the pool. */
export type WorkerReply =
  | { readonly type: 'ready' }
  | { readonly type: 'loaded'; readonly digest: string }
  | { readonly type: 'load-failed'; readonly digest: string; readonly problem: string }
  | { readonly type: 'done'; readonly call: number; readonly outputs: readonly TensorData[] }
  | { readonly type: 'failed'; readonly call: number; readonly problem: string };

/** What a worker is started with. */
export interface WorkerSettings {
  /** ONNX Runtime execution provider: 'cpu', 'cuda', 'webgpu'. */
  readonly provider: string;
}
