import type { NamedTensorSpec, PreparedWeight, Program, StoredWeight, TensorData } from '../types.js';

/** What the threads of an engine are given to run; what else is in it, the worker's file knows. Structured-cloneable. */
export interface ThreadProgram {
  readonly name: string;
  readonly weights: readonly StoredWeight[];
  readonly inputs: readonly NamedTensorSpec[];
  readonly outputs: readonly NamedTensorSpec[];
  /** What has to be made of fixed weights. */
  readonly prepared?: readonly PreparedWeight[];
  /** Programs of one digest are one program. */
  readonly digest: string;
  readonly resultDigest: string;
}

/** A weight that never changes. */
export interface FixedWeight {
  readonly weight: StoredWeight;
  /** Model layout, best on shared memory: every worker reads it. */
  readonly values: Float32Array;
  /** What is made of it before the program runs; without, it becomes a constant of the graph. All programs of a pool have the same weights. */
  readonly prepared?: PreparedWeight;
}

/** What the pool tells a worker. One worker does one thing at a time, in order. */
export type WorkerRequest<P extends ThreadProgram = Program> =
  | { readonly type: 'load'; readonly program: P; readonly fixedWeights?: readonly FixedWeight[] }
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
  /** `library`: what computes under the package, with its version, if the package's own version does not tell. */
  | { readonly type: 'ready'; readonly library?: string }
  | { readonly type: 'loaded'; readonly digest: string }
  | ({ readonly type: 'load-failed'; readonly digest: string } & WorkerFailure)
  | { readonly type: 'done'; readonly call: number; readonly outputs: readonly TensorData[] }
  | ({ readonly type: 'failed'; readonly call: number } & WorkerFailure);

export interface WorkerFailure {
  readonly problem: string;
  /** The tfjs kernel that failed, where the worker knows it. */
  readonly kernel?: string;
  /** The backend has no such kernel, or not for such tensors. */
  readonly unknownKernel?: boolean;
}
