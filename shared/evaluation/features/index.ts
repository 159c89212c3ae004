/** Networks whose features a Frechet distance is taken on. */
export type { FeatureExtractor, FeatureNetwork } from './extractor.js';
export { openOnnxFeatures, OnnxFeaturesSchema, parseOnnxFeatures } from './onnx-features.js';
export type { OnnxFeaturesOptions } from './onnx-features.js';
export { ClassifierSchema, classifierKey, openClassifierFeatures, trainFeatures } from './classifier-store.js';
export type { Classifier, TrainFeaturesRequest } from './classifier-store.js';
