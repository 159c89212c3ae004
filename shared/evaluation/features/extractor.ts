/** Networks that turn an image into a vector: a port. */
import type { ImageShape } from '../estimates.js';

export interface FeatureNetwork {
  /** What the distance on these features is called in a report: `fid` for the standard network only. */
  readonly metric: string;
  /** One phrase for a heading. */
  readonly title: string;
  /** SHA-256 of the network: distances are comparable only where it is equal. */
  readonly sha256: string;
  /** Length of a vector. */
  readonly dimensions: number;
}

export interface FeatureExtractor extends FeatureNetwork {
  /**
   * Features of images [H, W, C] in [-1, 1], neither clamped nor rounded; row-major [images, dimensions].
   * @throws ThawError THAW_FEATURES_INVALID for values that are no numbers
   */
  extract(images: readonly Float32Array[], shape: ImageShape): Promise<Float32Array>;
}
