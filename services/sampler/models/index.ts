/** Models: restoration by verified checkpoints on an engine, and held-out images of their data sets. */
export { CheckpointModels } from './checkpoint-models.js';
export type { CheckpointModelsOptions } from './checkpoint-models.js';
export { datasetImages } from './dataset-images.js';
export { RunPrograms } from './run-programs.js';
export { samplingProgram } from './sampling-program.js';
