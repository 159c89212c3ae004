/**
 * Runs a session into arrays that are given.
 *
 * The Node binding fills the arrays it is given, but copies every result into a new array all the same (onnxruntime-node 1.30.0; for the
 * official network 216 MiB a step). It hands each copy to a constructor that it was told when it was loaded, and begins only when all
 * results are there. So in these threads that constructor stops it. If another version never calls it, nothing is lost but the memory.
 */
import { createRequire } from 'node:module';
import { isMainThread } from 'node:worker_threads';
import ort from 'onnxruntime-node';

/** The part of the binding that the package itself uses; its version is pinned. */
interface Binding {
  initOrt(): void;
  readonly binding: { initOrtOnce(logLevel: number, tensor: typeof ort.Tensor, isMainThread: boolean): void };
}

const fatal = 4;
const allIsThere = new Error('the results are in the arrays given');
let filling = false;

const ResultTensor = new Proxy(ort.Tensor, {
  construct(target, parts: ConstructorParameters<typeof ort.Tensor>) {
    if (filling) throw allIsThere;
    return Reflect.construct(target, parts) as object;
  },
});

let prepared = false;

function prepare(): void {
  if (prepared) return;
  prepared = true;
  const { initOrt, binding } = createRequire(import.meta.url)('onnxruntime-node/dist/binding.js') as Binding;
  initOrt();
  binding.initOrtOnce(fatal, ResultTensor, isMainThread);
}

/** @param results an array for every output of the session; they hold the results when it resolves */
export async function fillResults(
  session: ort.InferenceSession,
  feeds: Readonly<Record<string, ort.Tensor>>,
  results: Readonly<Record<string, ort.Tensor>>,
): Promise<void> {
  prepare();
  filling = true;
  try {
    await session.run(feeds, results);
  } catch (error) {
    if (error !== allIsThere) throw error;
  } finally {
    filling = false;
  }
}
