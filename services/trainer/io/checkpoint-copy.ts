/** The copy of the state that a checkpoint is made of, and its slices: encoded once, digested, uploaded, read back. */
import { ThawError, type StateHead } from '@thaw/shared/protocol';
import {
  encodeSlice,
  readBackSlice,
  splitIntoSlices,
  writeSlice,
  type EncodedSlice,
  type ObjectStore,
  type StateSlice,
} from '@thaw/shared/storage';
import { copyArrays, type TrainerEvent, type TrainingArrays } from '../member/index.js';
import { toRunState, type StateLayout } from '../state/official-order.js';

export class CheckpointCopy {
  readonly #store: ObjectStore;
  readonly #state: StateLayout;
  readonly #sliceCount: number;
  #copy: { readonly head: StateHead; readonly arrays: TrainingArrays } | undefined;
  #slices: StateSlice[] | undefined;

  constructor(store: ObjectStore, state: StateLayout, sliceCount: number) {
    this.#store = store;
    this.#state = state;
    this.#sliceCount = sliceCount;
  }

  /** Copies the arrays; this is all that training waits for. */
  take(head: StateHead, arrays: TrainingArrays): void {
    this.#copy = { head, arrays: copyArrays(arrays) };
    this.#slices = undefined;
  }

  drop(step: number): void {
    if (this.#copy?.head.step !== step) return;
    this.#copy = undefined;
    this.#slices = undefined;
  }

  async write(step: number, slice: number, readBack: boolean): Promise<TrainerEvent> {
    const encoded = this.#encode(step, slice);
    const { sha256, bytes } = await writeSlice(this.#store, encoded);
    if (readBack) await readBackSlice(this.#store, encoded.record);
    return { kind: 'sliceWritten', step, slice, sha256, bytes, readBack };
  }

  digest(step: number, slice: number): TrainerEvent {
    const { sha256, bytes } = this.#encode(step, slice).record;
    return { kind: 'sliceDigested', step, slice, sha256, bytes };
  }

  #encode(step: number, slice: number): EncodedSlice {
    const copy = this.#copy;
    if (copy?.head.step !== step) throw new ThawError('THAW_INTERNAL', `There is no copy of step ${step}.`);
    this.#slices ??= splitIntoSlices(toRunState(this.#state, copy.head, copy.arrays), this.#sliceCount);
    return encodeSlice(this.#slices[slice]!);
  }
}
