/** A worker thread: tapes of the loaded programs, played on a backend of tfjs. A kernel blocks this thread, and only this one. */
import { parentPort, workerData } from 'node:worker_threads';
import * as tf from '@tensorflow/tfjs-core';
import type { FixedWeight, WorkerFailure, WorkerReply, WorkerRequest } from '../../run/index.js';
import type { TensorData } from '../../types.js';
import { UnsupportedByKernel } from '../kernels/index.js';
import { KernelFailure, TapePlayer } from '../tape-player.js';
import type { TapeProgram } from '../tape-program.js';
import type { TfjsWorkerSettings } from '../tfjs-engine.js';
import { startTensorflow } from './tensorflow.js';
import { startWasm, wasmBackendName } from './wasm.js';

type Request = WorkerRequest<TapeProgram>;

interface Loaded {
  readonly program: TapeProgram;
  readonly player: TapePlayer;
  weights: readonly Float32Array[];
}

const port = parentPort!;
const loaded = new Map<string, Loaded>();
const library = await start(workerData as TfjsWorkerSettings);

const reply = (message: WorkerReply, transfer: ArrayBuffer[] = []): void => port.postMessage(message, transfer);

async function start({ backend, packageName }: TfjsWorkerSettings): Promise<string | undefined> {
  if (backend === wasmBackendName) {
    await startWasm();
    await tf.setBackend(wasmBackendName);
    return undefined;
  }
  const { version, usesGpu } = await startTensorflow(packageName);
  if (packageName.endsWith('-gpu') && !usesGpu) throw new Error('TensorFlow found no GPU');
  await tf.setBackend(backend);
  return `TensorFlow ${version}`;
}

function load(program: TapeProgram, fixedWeights: readonly FixedWeight[] = []): void {
  const fixed = Object.fromEntries(
    fixedWeights.map(({ weight, values }) => [weight.name, tensorOf(values, weight.shape, 'float32')]),
  );
  try {
    loaded.set(program.digest, { program, player: new TapePlayer(program.tape, fixed), weights: [] });
  } catch (error) {
    tf.dispose(fixed);
    throw error;
  }
}

function unload(digest: string): void {
  loaded.get(digest)?.player.dispose();
  loaded.delete(digest);
}

/** A backend may read the values later: not from memory that others write to. */
const tensorOf = (data: TensorData, shape: readonly number[], dtype: 'float32' | 'int32'): tf.Tensor =>
  tf.tensor(data.buffer instanceof SharedArrayBuffer ? data.slice() : data, [...shape], dtype);

function run({ digest, call, weights, inputs, results }: Extract<Request, { type: 'run' }>): void {
  const entry = loaded.get(digest)!;
  const { program, player } = entry;
  if (weights !== undefined) entry.weights = weights;
  let outputs: TensorData[] = [];
  tf.tidy(() => {
    const given = Object.fromEntries([
      ...program.weights.map(({ name, shape }, i) => [name, tensorOf(entry.weights[i]!, shape, 'float32')] as const),
      ...program.inputs.map(({ name, shape, dtype }, i) => [name, tensorOf(inputs[i]!, shape, dtype)] as const),
    ]);
    outputs = player.play(given, (tensor, i) => {
      const values = tensor.dataSync() as TensorData;
      const place = results?.[i];
      // The backend may still need the memory of its own array.
      if (place === undefined) return values.slice();
      place.set(values);
      return place;
    });
  });
  const buffers = new Set(outputs.map(({ buffer }) => buffer as ArrayBuffer));
  reply({ type: 'done', call, outputs }, [...buffers]);
}

function handle(request: Request): void {
  switch (request.type) {
    case 'load':
      try {
        load(request.program, request.fixedWeights);
        reply({ type: 'loaded', digest: request.program.digest });
      } catch (error) {
        reply({ type: 'load-failed', digest: request.program.digest, ...failure(error, true) });
      }
      return;
    case 'unload':
      return unload(request.digest);
    case 'run':
      try {
        run(request);
      } catch (error) {
        reply({ type: 'failed', call: request.call, ...failure(error, false) });
      }
      return;
    case 'close':
      for (const digest of [...loaded.keys()]) unload(digest);
      port.close();
  }
}

/** @param loading a kernel that fails then is one that is not there */
function failure(error: unknown, loading: boolean): WorkerFailure {
  const problem = error instanceof Error ? error.message : String(error);
  if (!(error instanceof KernelFailure)) return { problem };
  const refused = error.cause instanceof UnsupportedByKernel;
  return { problem, kernel: error.kernel, unknownKernel: loading || refused };
}

port.on('message', handle);
reply({ type: 'ready', ...(library !== undefined && { library }) });
