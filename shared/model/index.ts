/** The restoration networks in plain tfjs ops, their parameters, layouts and initialisation. */
export type { Initialisation, ParameterSpec } from './layout.js';
export { fromOfficial, sizeOf, toOfficial, transposeData } from './layout.js';
export {
  channelNormSpecs,
  convNextBlockSpecs,
  downsampleSpecs,
  linearAttentionSpecs,
  parameterCount,
  unetWeightSpecs,
  upsampleSpecs,
} from './unet-spec.js';
export type { ConvNextBlockOptions } from './unet-spec.js';
export type { NetworkImages } from './ddpm-unet-spec.js';
export { dropoutShapes, drawDropout, network, networkWeightSpecs } from './network.js';
export { drawWeights, initialWeights } from './init.js';
export { channelNorm, convNextBlock, downsample, gelu, linearAttention, upsample } from './layers.js';
export type { Weights } from './layers.js';
export { embeddingFrequencies, sinusoidalEmbedding } from './time-embedding.js';
export { unet } from './unet.js';
export type { Observer } from './unet.js';
export { LN_10000, exactCosFirstQuadrant, exactExp } from './exact-math.js';
