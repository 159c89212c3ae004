/** Data sets: readers, packing to shards, the order in which lanes read them, and leased reading. */
export { LeaseReadSchema, LeaseSchema } from './lease.js';
export type { Lease, LeaseRead } from './lease.js';
export {
  DatasetManifestSchema,
  PreprocessingSchema,
  contentSha256,
  datasetFormat,
  decodeManifest,
  loadManifest,
  manifestKey,
  meanTrainKey,
  shardKey,
} from './manifest.js';
export type { DatasetManifest, ImageShape, Preprocessing, Quarantined, Shard, Split, SplitName } from './manifest.js';
export { epochOfStep, planEpoch, readsOf, sampleOrder, stepsPerEpoch } from './lanes.js';
export type { EpochPlan, LaneSchedule, Segment } from './lanes.js';
export { leaseHorizon, leasesFor, leaseWindow, trainSchedule } from './leases.js';
export type { ReadSet, SampleOrder } from './leases.js';
export { bindRunSets, checkImagesFit, loadRunSets } from './run-sets.js';
export { LeaseBook } from './lease-book.js';
export type { LeasedReads } from './lease-book.js';
export { augment, augmentBytes, centreBatch, centreBytes, cutBatch, drawAugment } from './augmentation.js';
export type { AugmentDraw, AugmentRequest } from './augmentation.js';
export {
  crop,
  cropCentre,
  officialResizeEdge,
  padCentred,
  prepareImage,
  resizeShorterSide,
  withChannels,
} from './preparation.js';
export type { ImagePixels } from './preparation.js';
export { pillowResize } from './pillow-resize.js';
export { sliceSource } from './image-source.js';
export type { BadImage, ImageSource, SourceImage } from './image-source.js';
export { parseIdx } from './idx.js';
export type { IdxTensor } from './idx.js';
export { idxSource } from './idx-source.js';
export type { IdxFile } from './idx-source.js';
export { cifar10Source } from './cifar10-source.js';
export { packDataset } from './packing.js';
export type { PackOptions, PackProgress, PackResult } from './packing.js';
export { inspectDataset, loadImages, loadMeanTrain, verifyDataset } from './inspection.js';
export type { DatasetSummary, VerifyReport } from './inspection.js';
export { openIdx } from './io/idx-files.js';
export { openCifar10 } from './io/cifar10.js';
export { openMnist } from './io/mnist.js';
export { openImageFolder } from './io/image-folder.js';
export { openImageSplits } from './io/image-splits.js';
export type { ImageSplitOptions, ImageSplits } from './io/image-splits.js';
export { readZipFiles } from './io/zip-entry.js';
export type { ImageLimits } from './io/decode-image.js';
export { ShardCache } from './io/shard-cache.js';
export type { ShardCacheOptions } from './io/shard-cache.js';
export { LeasedShards } from './io/leased-shards.js';
export type { LeasedShardsOptions, MicroBatch } from './io/leased-shards.js';
