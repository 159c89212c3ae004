/** A worker thread: ONNX Runtime sessions of the loaded programs. `session.run` blocks this thread, and only this one. */
import { parentPort, workerData } from 'node:worker_threads';
import ort from 'onnxruntime-node';
import type { NamedTensorSpec, Program, TensorData } from '../../types.js';
import { storedShape, toStored } from '../../lower/weights.js';
import { withInitializers } from '../../onnx/index.js';
import { sessionOptions } from '../session-options.js';
import type { FixedWeight, WorkerReply, WorkerRequest, WorkerSettings } from '../messages.js';

const port = parentPort!;
const { provider } = workerData as WorkerSettings;

interface Loaded {
  readonly program: Program;
  readonly session: ort.InferenceSession;
  /** This worker's own copy: ONNX Runtime takes no view on shared memory. Made at the first call. */
  weights: Record<string, ort.Tensor> | undefined;
  version: string | undefined;
}

// Failures are told in the rejection.
ort.env.logLevel = 'fatal';

const loaded = new Map<string, Loaded>();

const reply = (message: WorkerReply, transfer: ArrayBuffer[] = []): void => port.postMessage(message, transfer);
const problemOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** @param fixed what the graph lacks to be complete, if the program's weights are fixed */
async function load(program: Program, fixed: readonly FixedWeight[] | undefined): Promise<void> {
  const initializers = fixed?.map(({ weight, values }) => ({
    name: weight.name,
    dtype: 'float32' as const,
    shape: storedShape(weight),
    data: toStored(weight, values),
  }));
  const onnx = initializers === undefined ? program.onnx : withInitializers(program.onnx, initializers);
  const session = await ort.InferenceSession.create(onnx, sessionOptions(provider));
  loaded.set(program.digest, { program, session, weights: undefined, version: undefined });
}

async function unload(digest: string): Promise<void> {
  const entry = loaded.get(digest);
  loaded.delete(digest);
  await entry?.session.release();
}

/** Copies shared weights into this worker's own tensors, which stay the same from call to call. */
function takeWeights(entry: Loaded, weights: readonly Float32Array[], version: string | undefined): void {
  const { program } = entry;
  entry.weights ??= Object.fromEntries(
    program.weights.map((weight) => [
      weight.name,
      new ort.Tensor('float32', new Float32Array(weight.size), storedShape(weight)),
    ]),
  );
  program.weights.forEach((weight, i) => (entry.weights![weight.name]!.data as Float32Array).set(weights[i]!));
  entry.version = version;
}

/** Own memory is used as it is; shared memory is copied. */
function inputTensor(spec: NamedTensorSpec, data: TensorData): ort.Tensor {
  const own = data.buffer instanceof SharedArrayBuffer ? data.slice() : data;
  return new ort.Tensor(spec.dtype, own, spec.shape);
}

async function run(request: Extract<WorkerRequest, { type: 'run' }>): Promise<void> {
  const entry = loaded.get(request.digest)!;
  const { program, session } = entry;
  if (request.weights !== undefined) takeWeights(entry, request.weights, request.version);
  const offered: Record<string, ort.Tensor> = { ...entry.weights };
  program.inputs.forEach((spec, i) => (offered[spec.name] = inputTensor(spec, request.inputs[i]!)));
  // What no output depends on is in the program's tables, but not in the graph.
  const feeds = Object.fromEntries(session.inputNames.map((name) => [name, offered[name]!]));
  // Results are arrays of their own: the binding copies them out of ONNX Runtime even where it is given arrays to fill.
  const results = await session.run(feeds);
  const arrays = program.outputs.map(({ name }) => results[name]!.data as TensorData);
  const buffers = arrays.map((array) => array.buffer as ArrayBuffer);
  reply({ type: 'done', call: request.call, outputs: arrays }, buffers);
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
