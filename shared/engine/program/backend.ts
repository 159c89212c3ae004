import * as tf from '@tensorflow/tfjs-core';

/** The parts of the tfjs engine that have no public door. */
interface EngineInternals {
  backendName: string | undefined;
  backendInstance: tf.KernelBackend | null;
  state: { activeTape: { saved?: tf.Tensor[] }[] | null };
}

/**
 * Runs `body` with an initialised backend as tfjs's global one, then restores what was there, after errors too.
 * Every tensor that `body` makes is disposed.
 */
export function onBackend<T>(name: string, body: () => T): T {
  const internals = tf.engine() as unknown as EngineInternals;
  const previous = { name: internals.backendName, instance: internals.backendInstance };
  try {
    // The switch itself is synchronous for a backend that exists; the promise only tells of success.
    void tf.setBackend(name);
    let result: T | undefined;
    tf.tidy(() => {
      result = body();
    });
    return result as T;
  } finally {
    discardTape(internals);
    if (previous.name === undefined || previous.instance === null) {
      internals.backendName = previous.name;
      internals.backendInstance = previous.instance;
    } else void tf.setBackend(previous.name);
  }
}

/** A gradient that failed half-way leaves its tape, with tensors kept for the way back. */
function discardTape(internals: EngineInternals): void {
  for (const node of internals.state.activeTape ?? []) for (const tensor of node.saved ?? []) tensor.dispose();
  internals.state.activeTape = null;
}
