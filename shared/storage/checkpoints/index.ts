/** Checkpoints: the durable state of a run. */
export { stateGroups, tensorsOf, floatsOf, weightsSha256 } from './run-state.js';
export type { RunState, StateGroup, StateScalars, StateTensor } from './run-state.js';
export {
  CheckpointManifestSchema,
  CheckpointRefSchema,
  ManifestFieldsSchema,
  SliceRecordSchema,
  checkpointFormat,
  checkpointKey,
  checkpointPrefix,
  decodeManifest,
  encodeManifest,
} from './manifest.js';
export type {
  CheckpointManifest,
  CheckpointRef,
  ManifestFields,
  SliceRecord,
  StoredManifest,
  TensorEntry,
} from './manifest.js';
export {
  assembleState,
  confirmSlice,
  decodeSlice,
  encodeSlice,
  encodeSliceStepwise,
  outlineSlices,
  planSlices,
  splitIntoSlices,
} from './slices.js';
export type { EncodedSlice, LazySlice, StateSlice } from './slices.js';
export { commitManifest, readBackSlice, writeCheckpoint, writeSlice } from './write.js';
export type { CommittedManifest } from './write.js';
export { listCheckpoints, listRuns, loadCheckpoint, loadGroup, newestCheckpoint, readManifest } from './load.js';
export type { ListedCheckpoint, LoadedCheckpoint } from './load.js';
