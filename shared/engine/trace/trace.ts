import * as tf from '@tensorflow/tfjs-core';
import { ThawError } from '@thaw/shared/protocol';
import { applyProgram, checkDefinition } from '../program/index.js';
import type { ProgramDefinition, TracedGraph } from '../types.js';
import { record, tracingBackendName } from './backend.js';
import type { Recording } from './recording.js';
import type { KernelTape } from './tape.js';

/**
 * Runs the definition's function, and tfjs's gradients if asked for, once on the recording backend.
 * Leaves no tensor behind and restores tfjs's global backend.
 * Errors: THAW_ENGINE_UNKNOWN_KERNEL, THAW_ENGINE_VALUE_READ, THAW_ENGINE_FOREIGN_TENSOR, THAW_ENGINE_PROGRAM_INVALID (what tfjs or the
 * function throws, shapes that do not fit among it, is its message and cause).
 */
export const trace = (definition: ProgramDefinition): TracedGraph =>
  recorded(definition, (recording, outputs) =>
    recording.finish(definition.name, Object.fromEntries(outputs.map(({ name, value }) => [name, value]))),
  );

/** Records as {@link trace} does, with its errors, and gives the calls of kernels instead of the graph. */
export const traceCalls = (definition: ProgramDefinition): KernelTape =>
  recorded(definition, (recording, outputs) => recording.tape.finish(outputs));

interface RecordedOutput {
  readonly name: string;
  readonly tensor: tf.TensorInfo;
  /** Number of its value in the graph. */
  readonly value: number;
}

function recorded<T>(
  definition: ProgramDefinition,
  finish: (recording: Recording, outputs: readonly RecordedOutput[]) => T,
): T {
  checkDefinition(definition);
  try {
    return record((recording) => {
      const weights = boundary(recording, 'weight', definition.weights);
      const inputs = boundary(recording, 'input', definition.inputs);
      const outputs = applyProgram(definition, weights, inputs, ({ dataId, shape, dtype }, name) => {
        const tensor = { dataId, shape, dtype };
        return { name, tensor, value: recording.valueOf(tensor, `output '${name}'`) };
      });
      return finish(recording, Object.values(outputs));
    });
  } catch (error) {
    throw inWordsOfTheProgram(error, definition.name);
  }
}

function boundary(
  recording: Recording,
  kind: 'weight' | 'input',
  specs: ProgramDefinition['inputs'],
): Record<string, tf.Tensor> {
  return Object.fromEntries(
    Object.entries(specs).map(([name, spec]) => {
      const { dataId, shape, dtype } = recording.boundary(kind, name, spec.shape, spec.dtype);
      return [name, tf.engine().makeTensorFromDataId(dataId, shape, dtype)];
    }),
  );
}

const kernelMissing = new RegExp(`^Kernel '(.+)' not registered for backend '${tracingBackendName}'$`);
const gradientMissing = /gradient function not found for (\w+)/;

/** Every error names the program. tfjs tells of what is missing or does not fit in plain errors. */
function inWordsOfTheProgram(error: unknown, program: string): unknown {
  if (!(error instanceof Error)) return error;
  if (error instanceof ThawError) return namingProgram(error, program);
  const { message } = error;
  const kernel = kernelMissing.exec(message)?.[1];
  if (kernel !== undefined)
    return new ThawError(
      'THAW_ENGINE_UNKNOWN_KERNEL',
      `program '${program}' uses the tfjs kernel ${kernel}, which cannot be traced`,
      {
        cause: error,
        details: { kernel, program },
      },
    );
  const undifferentiable = gradientMissing.exec(message)?.[1];
  if (undifferentiable === undefined)
    return new ThawError('THAW_ENGINE_PROGRAM_INVALID', `program '${program}': ${message}`, {
      cause: error,
      details: { program },
    });
  return new ThawError(
    'THAW_ENGINE_PROGRAM_INVALID',
    `program '${program}': the loss depends on weights through ${undifferentiable}, for which tfjs has no gradient`,
    {
      cause: error,
      cure: 'Compute it from inputs only, or give it a gradient with tf.customGrad.',
      details: { kernel: undifferentiable, program },
    },
  );
}

function namingProgram(error: ThawError, program: string): ThawError {
  const prefix = `program '${program}'`;
  if (error.message.startsWith(prefix)) return error;
  const details = { ...error.details, program };
  return new ThawError(error.code, `${prefix}: ${error.message}`, { cause: error, cure: error.cure, details });
}
