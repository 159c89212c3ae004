/** The copy of the state that a checkpoint is made of, and its slices: encoded tensor by tensor, digested, uploaded, read back. */
import { ThawError, type StateHead } from '@thaw/shared/protocol';
import {
  encodeSliceStepwise,
  outlineSlices,
  readBackSlice,
  writeSlice,
  type EncodedSlice,
  type LazySlice,
  type ObjectStore,
} from '@thaw/shared/storage';
import type { TrainerEvent, TrainingArrays } from '../member/index.js';
import { checkpointTensors, scalarsOf, type StateLayout } from '../state/official-order.js';
import { nextTurn } from './next-turn.js';

export class CheckpointCopy {
  readonly #store: ObjectStore;
  readonly #state: StateLayout;
  readonly #sliceCount: number;
  #copy: { readonly step: number; readonly slices: readonly LazySlice[] } | undefined;

  constructor(store: ObjectStore, state: StateLayout, sliceCount: number) {
    this.#store = store;
    this.#state = state;
    this.#sliceCount = sliceCount;
  }

  /** Takes over a copy that nobody writes to. */
  take(head: StateHead, arrays: TrainingArrays): void {
    const tensors = checkpointTensors(this.#state, arrays);
    const slices = outlineSlices(scalarsOf(head, this.#state.stepsPerEpoch), tensors, this.#sliceCount);
    this.#copy = { step: head.step, slices };
  }

  drop(step: number): void {
    if (this.#copy?.step === step) this.#copy = undefined;
  }

  async write(step: number, slice: number, readBack: boolean): Promise<TrainerEvent> {
    const encoded = await this.#encode(step, slice);
    const { sha256, bytes } = await writeSlice(this.#store, encoded);
    if (readBack) await readBackSlice(this.#store, encoded.record);
    return { kind: 'sliceWritten', step, slice, sha256, bytes, readBack };
  }

  async digest(step: number, slice: number): Promise<TrainerEvent> {
    const { sha256, bytes } = (await this.#encode(step, slice)).record;
    return { kind: 'sliceDigested', step, slice, sha256, bytes };
  }

  /** A tensor at a time, with whatever else the process has to do in between. */
  async #encode(step: number, slice: number): Promise<EncodedSlice> {
    const copy = this.#copy;
    if (copy?.step !== step) throw new ThawError('THAW_INTERNAL', `There is no copy of step ${step}.`);
    const steps = encodeSliceStepwise(copy.slices[slice]!);
    for (;;) {
      const { done, value } = steps.next();
      if (done) return value;
      await nextTurn();
      if (this.#copy !== copy) throw new ThawError('THAW_INTERNAL', `The copy of step ${step} is no longer needed.`);
    }
  }
}
