/** What is evaluated, wherever it was computed: in this process, by the samplers of a cluster, in a test. */

export interface ImageShape {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

/** Mean squared errors on the scale [0, 1] of the state x_s and of the estimate R(x_s, s - 1). */
export interface StateError {
  readonly severity: number;
  readonly state: number;
  readonly estimate: number;
}

/** One test image on its way. Images are float32 [H, W, C] in [-1, 1], neither clamped nor rounded; read only. */
export interface Estimate {
  readonly original: Float32Array;
  /** x_T. */
  readonly degraded: Float32Array;
  /** R(x_T, T - 1). */
  readonly direct: Float32Array;
  /** x_0 of the sampler. */
  readonly sampled: Float32Array;
  /** The state after the sampler's first update; a convention may want it as "degraded". */
  readonly firstUpdate?: Float32Array;
  /** The last R(x_s, s - 1) of the sampler; a convention may want it as "sampled". */
  readonly lastEstimate?: Float32Array;
  /** At every severity called, from T down; empty where the source does not say. */
  readonly errors: readonly StateError[];
}

/** Where estimates come from. */
export interface EstimateOrigin {
  readonly run: string;
  readonly step: number;
  readonly manifestSha256: string;
  /** SHA-256 of what must be equal for equal bits: engine, programs, batch, and the bits of a probe. */
  readonly fingerprint: string;
  readonly dataset: string;
  readonly split: string;
  /** Family of the degradation; unknown ones have no convention of their own. */
  readonly family: string;
  readonly sampler: string;
  /** Severities at which the network was called, falling. */
  readonly severities: readonly number[];
  /** Of the random choices of the degradation. */
  readonly seed: number;
}

/**
 * Port. The evaluator asks for consecutive images, `blockSize` at a time, and holds no more than `blocksAtOnce` answers, so a source may
 * compute a block wherever it likes. An estimate depends on nothing but its origin and the number of its image.
 */
export interface EstimateSource {
  readonly origin: EstimateOrigin;
  readonly shape: ImageShape;
  /** Images in the split. */
  readonly available: number;
  /** Images that are best asked for at once. */
  readonly blockSize: number;
  /** Blocks that may be asked for before the first of them is answered; 1 unless given. */
  readonly blocksAtOnce?: number;
  /** Estimates of images of the split, in the order of `images` (numbers from 0 to available - 1). */
  estimates(images: readonly number[]): Promise<readonly Estimate[]>;
}

/** Mean squared error of two images in [-1, 1], on the scale [0, 1]. */
export function meanSquare(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i]! - b[i]!) * (a[i]! - b[i]!);
  return sum / (4 * a.length);
}
