/** Between the flat training arrays (the engine's stored order) and the tensors of a checkpoint (official names, order and shapes). */
import { fromStored, toStored, type StoredWeight } from '@thaw/shared/engine';
import { fromOfficial, toOfficial, type ParameterSpec } from '@thaw/shared/model';
import { ThawError, type StateHead } from '@thaw/shared/protocol';
import type { LazyTensor, RunState, StateGroup, StateScalars, StateTensor } from '@thaw/shared/storage';
import type { ArrayKernels } from '../kernels/index.js';
import type { TrainingArrays } from '../member/events.js';
import type { Layout } from '../reduce/index.js';

export interface StateLayout {
  readonly layout: Layout;
  /** In the order of `layout.tensors`. */
  readonly weights: readonly StoredWeight[];
  readonly specs: Readonly<Record<string, ParameterSpec>>;
  /** Steps of one epoch, for the epoch cursor. */
  readonly stepsPerEpoch: number;
}

const floatGroups = [
  ['weights', 'weights'],
  ['ema', 'ema'],
  ['adam.m', 'firstMoment'],
  ['adam.v', 'secondMoment'],
] as const satisfies readonly (readonly [StateGroup, keyof TrainingArrays])[];

/** New arrays of the right sizes, in memory of the kernels: shared, so that engine workers read the weights in place. */
export function allocateArrays(layout: Layout, kernels: ArrayKernels): TrainingArrays {
  const floats = (): Float32Array => kernels.float32(layout.valueCount);
  return {
    weights: floats(),
    ema: floats(),
    firstMoment: floats(),
    secondMoment: floats(),
    exponents: new Int8Array(layout.blockCount),
  };
}

/** Views on the flat weights by name, for an engine call. */
export function weightViews({ layout }: StateLayout, flat: Float32Array): Record<string, Float32Array> {
  return Object.fromEntries(
    layout.tensors.map(({ name, offset, size }) => [name, flat.subarray(offset, offset + size)]),
  );
}

export function scalarsOf(head: StateHead, stepsPerEpoch: number): StateScalars {
  const { step, beta1Product, beta2Product, historyDigest, skippedInARow } = head;
  const epoch = Math.floor(step / stepsPerEpoch);
  return {
    step,
    epoch,
    stepOfEpoch: step - epoch * stepsPerEpoch,
    beta1Product,
    beta2Product,
    historyDigest,
    skippedInARow,
  };
}

/**
 * The tensors of a state as a checkpoint stores them, each made when it is asked for.
 * @param arrays are read then
 */
export function checkpointTensors(state: StateLayout, arrays: TrainingArrays): Record<string, LazyTensor> {
  const tensors: Record<string, LazyTensor> = {};
  state.layout.tensors.forEach((place, i) => {
    const stored = state.weights[i]!;
    const spec = state.specs[place.name]!;
    for (const [group, field] of floatGroups)
      tensors[`${group}/${place.name}`] = {
        dtype: 'F32',
        shape: spec.officialShape,
        data: () => {
          const flat = arrays[field].subarray(place.offset, place.offset + place.size);
          return toOfficial(spec, fromStored(stored, flat));
        },
      };
    tensors[`exponents/${place.name}`] = {
      dtype: 'I8',
      shape: [place.blockCount],
      data: () => arrays.exponents.slice(place.firstBlock, place.firstBlock + place.blockCount),
    };
  });
  return tensors;
}

/**
 * Fills `arrays` from a checkpoint and returns its head.
 * @throws ThawError THAW_CHECKPOINT_INVALID when a tensor is missing or of another size than the run's network has
 */
export function fromRunState(state: StateLayout, run: RunState, arrays: TrainingArrays): StateHead {
  const take = (group: StateGroup, name: string, length: number): StateTensor['data'] => {
    const tensor = run.tensors[`${group}/${name}`];
    if (tensor === undefined || tensor.data.length !== length)
      throw new ThawError(
        'THAW_CHECKPOINT_INVALID',
        `The checkpoint of step ${run.step} has ${tensor === undefined ? 'no tensor' : `${tensor.data.length} values in`} ${group}/${name}; the network needs ${length}.`,
      );
    return tensor.data;
  };
  state.layout.tensors.forEach((place, i) => {
    for (const [group, field] of floatGroups) {
      const official = take(group, place.name, place.size) as Float32Array;
      arrays[field].set(toStored(state.weights[i]!, fromOfficial(state.specs[place.name]!, official)), place.offset);
    }
    arrays.exponents.set(take('exponents', place.name, place.blockCount), place.firstBlock);
  });
  const { step, beta1Product, beta2Product, historyDigest, skippedInARow } = run;
  return { step, beta1Product, beta2Product, historyDigest, skippedInARow };
}

/** Weights by name in model layout as one flat vector in stored order. */
export function flatWeights(
  { layout, weights }: StateLayout,
  byName: Readonly<Record<string, Float32Array>>,
): Float32Array {
  const flat = new Float32Array(layout.valueCount);
  layout.tensors.forEach(({ name, offset }, i) => flat.set(toStored(weights[i]!, byName[name]!), offset));
  return flat;
}
