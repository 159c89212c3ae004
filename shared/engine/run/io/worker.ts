/** A worker thread: ONNX Runtime sessions of the loaded programs. `session.run` blocks this thread, and only this one. */
import { parentPort, workerData } from 'node:worker_threads';
import ort from 'onnxruntime-node';
import type { NamedTensorSpec, PreparedWeight, Program, TensorData } from '../../types.js';
import { sizeOf } from '../../graph/shape.js';
import { storedShape, toStored } from '../../lower/weights.js';
import { withInitializers } from '../../onnx/index.js';
import { sessionOptions } from '../session-options.js';
import { fillResults } from './fill-results.js';
import { readsSharedMemory } from './shared-memory.js';
import type { FixedWeight, WorkerReply, WorkerRequest } from '../messages.js';
import type { OnnxWorkerSettings } from '../onnx-engine.js';

const port = parentPort!;
const { provider } = workerData as OnnxWorkerSettings;

interface Loaded {
  readonly program: Program;
  readonly session: ort.InferenceSession;
  weights: Record<string, ort.Tensor> | undefined;
}

// Failures are told in the rejection.
ort.env.logLevel = 'fatal';

const loaded = new Map<string, Loaded>();
const sharedInPlace = await readsSharedMemory(provider);

const reply = (message: WorkerReply, transfer: ArrayBuffer[] = []): void => port.postMessage(message, transfer);
const problemOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** What was made of fixed weights: once in this thread, for the programs of all batch sizes. */
const prepared = new Map<string, ort.Tensor>();

async function prepare({ name, shape, onnx }: PreparedWeight, { weight, values }: FixedWeight): Promise<void> {
  if (prepared.has(name)) return;
  const session = await ort.InferenceSession.create(onnx, sessionOptions(provider));
  const result = resultTensor({ name, shape, dtype: 'float32' }, undefined);
  const stored = new ort.Tensor('float32', toStored(weight, values), storedShape(weight));
  await fillResults(session, { [weight.name]: stored }, { [name]: result });
  await session.release();
  prepared.set(name, result);
}

/** @param fixed what the graph lacks to be complete, if the program's weights are fixed */
async function load(program: Program, fixed: readonly FixedWeight[] | undefined): Promise<void> {
  for (const weight of fixed ?? []) if (weight.prepared !== undefined) await prepare(weight.prepared, weight);
  const constants = fixed?.filter((weight) => weight.prepared === undefined);
  const initializers = constants?.map(({ weight, values }) => ({
    name: weight.name,
    dtype: 'float32' as const,
    shape: storedShape(weight),
    data: toStored(weight, values),
  }));
  const onnx = initializers === undefined ? program.onnx : withInitializers(program.onnx, initializers);
  const session = await ort.InferenceSession.create(onnx, sessionOptions(provider));
  loaded.set(program.digest, { program, session, weights: undefined });
}

async function unload(digest: string): Promise<void> {
  const entry = loaded.get(digest);
  loaded.delete(digest);
  await entry?.session.release();
}

/** Weights as ONNX Runtime can read them: shared ones in place if it can, else as copies in tensors that stay from call to call. */
function takeWeights(entry: Loaded, weights: readonly Float32Array[]): void {
  const copied = (data: Float32Array): boolean => !sharedInPlace && data.buffer instanceof SharedArrayBuffer;
  const { program, weights: before } = entry;
  entry.weights = Object.fromEntries(
    program.weights.map((weight, i) => {
      const data = weights[i]!;
      if (!copied(data)) return [weight.name, new ort.Tensor('float32', data, storedShape(weight))];
      const known = before?.[weight.name];
      const tensor = known ?? new ort.Tensor('float32', new Float32Array(weight.size), storedShape(weight));
      (tensor.data as Float32Array).set(data);
      return [weight.name, tensor];
    }),
  );
}

/** Own memory is used as it is; shared memory is copied, or the caller could change it meanwhile. */
function inputTensor(spec: NamedTensorSpec, data: TensorData): ort.Tensor {
  const own = data.buffer instanceof SharedArrayBuffer ? data.slice() : data;
  return new ort.Tensor(spec.dtype, own, spec.shape);
}

/** An array that was handed over for a result, or a new one. */
function resultTensor({ dtype, shape }: NamedTensorSpec, given: TensorData | undefined): ort.Tensor {
  const size = sizeOf(shape);
  return new ort.Tensor(dtype, given ?? (dtype === 'int32' ? new Int32Array(size) : new Float32Array(size)), shape);
}

async function run(request: Extract<WorkerRequest, { type: 'run' }>): Promise<void> {
  const entry = loaded.get(request.digest)!;
  const { program, session } = entry;
  if (request.weights !== undefined) takeWeights(entry, request.weights);
  const offered: Record<string, ort.Tensor> = { ...entry.weights };
  for (const { name } of program.prepared) offered[name] = prepared.get(name)!;
  program.inputs.forEach((spec, i) => (offered[spec.name] = inputTensor(spec, request.inputs[i]!)));
  // What no output depends on is in the program's tables, but not in the graph.
  const feeds = Object.fromEntries(session.inputNames.map((name) => [name, offered[name]!]));
  const results = program.outputs.map((spec, i) => resultTensor(spec, request.results?.[i]));
  await fillResults(session, feeds, Object.fromEntries(program.outputs.map(({ name }, i) => [name, results[i]!])));
  const outputs = results.map(({ data }) => data as TensorData);
  const buffers = new Set(outputs.map(({ buffer }) => buffer as ArrayBuffer));
  reply({ type: 'done', call: request.call, outputs }, [...buffers]);
}

async function handle(request: WorkerRequest): Promise<void> {
  switch (request.type) {
    case 'load':
      try {
        await load(request.program, request.fixedWeights);
        reply({ type: 'loaded', digest: request.program.digest });
      } catch (error) {
        reply({ type: 'load-failed', digest: request.program.digest, problem: problemOf(error) });
      }
      return;
    case 'unload':
      return unload(request.digest);
    case 'run':
      try {
        await run(request);
      } catch (error) {
        reply({ type: 'failed', call: request.call, problem: problemOf(error) });
      }
      return;
    case 'close':
      for (const digest of [...loaded.keys()]) await unload(digest);
      port.close();
  }
}

// Requests are answered one after the other, whatever awaits inside.
let last: Promise<void> = Promise.resolve();
port.on('message', (request: WorkerRequest) => {
  last = last.then(() => handle(request));
});
reply({ type: 'ready' });
