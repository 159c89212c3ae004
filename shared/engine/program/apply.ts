// tfjs registers its gradients as a side effect of the union package; without it tf.grads finds none.
import '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs-core';
import { ThawError } from '@thaw/shared/protocol';
import type { ProgramDefinition } from '../types.js';

/** Name of the output that holds the gradient of a weight. */
export const gradientName = (weight: string): string => `grad/${weight}`;

type Tensors = Record<string, tf.Tensor>;

/**
 * Calls the definition's function on the current tfjs backend, differentiates if asked for, and gives every output to
 * `take` while it is alive. Everything the function makes is disposed by the caller's tidy.
 */
export function applyProgram<T>(
  definition: ProgramDefinition,
  weights: Tensors,
  inputs: Tensors,
  take: (tensor: tf.Tensor, name: string) => T,
): Record<string, T> {
  const taken: Record<string, T> = {};
  const forward = (): tf.Tensor | undefined => {
    const outputs = definition.fn({ ...weights }, { ...inputs });
    checkOutputs(definition, outputs);
    for (const [name, tensor] of Object.entries(outputs)) taken[name] = take(tensor, name);
    return definition.gradientOf === undefined ? undefined : outputs[definition.gradientOf];
  };
  const names = Object.keys(weights);
  if (definition.gradientOf === undefined || names.length === 0) {
    tf.tidy(() => void forward());
    return taken;
  }
  // A weight that the loss does not reach has no gradient in tfjs: zeros here.
  const { grads } = tf.engine().gradients(
    () => forward() as tf.Tensor,
    names.map((name) => weights[name]!),
    undefined,
    true,
  );
  names.forEach((name, i) => {
    const gradient = (grads[i] as tf.Tensor | undefined) ?? tf.zerosLike(weights[name]!);
    taken[gradientName(name)] = take(gradient, gradientName(name));
  });
  return taken;
}

function checkOutputs(definition: ProgramDefinition, outputs: unknown): asserts outputs is Tensors {
  const refuse = (problem: string): never => {
    throw new ThawError('THAW_ENGINE_PROGRAM_INVALID', `program '${definition.name}': ${problem}`);
  };
  if (typeof outputs !== 'object' || outputs === null || outputs instanceof tf.Tensor) {
    return refuse('its function must return tensors by name');
  }
  if (outputs instanceof Promise) {
    // It goes on without us, and fails at the first tensor that it reads.
    outputs.catch(() => undefined);
    return refuse('its function is asynchronous; it must return tensors, not a promise');
  }
  const entries = Object.entries(outputs as Record<string, unknown>);
  if (entries.length === 0) refuse('its function returns no output');
  for (const [name, tensor] of entries) {
    if (!(tensor instanceof tf.Tensor)) return refuse(`output '${name}' is not a tensor`);
    if (tensor.dtype !== 'float32' && tensor.dtype !== 'int32')
      refuse(`output '${name}' has the type ${tensor.dtype}; cast it to float32 or int32`);
    if (name.startsWith('grad/')) refuse(`output '${name}' has a name kept for gradients`);
    if (name in definition.weights || name in definition.inputs)
      refuse(`output '${name}' has the name of a weight or input`);
  }
  if (definition.gradientOf === undefined) return;
  const loss = (outputs as Tensors)[definition.gradientOf];
  if (loss === undefined) return refuse(`there is no output '${definition.gradientOf}' to differentiate`);
  if (loss.rank !== 0)
    refuse(
      `output '${definition.gradientOf}' must be a scalar to be differentiated, its shape is [${loss.shape.join(', ')}]`,
    );
}
