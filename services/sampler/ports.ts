/** What the sampler needs from the rest of the world. Adapters are in `io/`; tests bring their own. */
import type { GenerationStart, SamplingAlgorithm } from '@thaw/shared/diffusion';
import type { Fingerprint } from '@thaw/shared/engine';
import type {
  EvaluateRequest,
  EvaluateResult,
  FramesAnswer,
  FramesRequest,
  ModelVersion,
  PlayAnswer,
  PlayRequest,
  Prior,
  RowAnswer,
  RowOffer,
  SamplerEvent,
} from '@thaw/shared/protocol';

export type { ModelVersion } from '@thaw/shared/protocol';

/** Random choices of a row's degradation, drawn once, shared by degradation and sampler. */
export type RowContext = Readonly<Record<string, Float32Array>>;

export interface ImageShape {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

/** One row of a restoration call. */
export interface StepRow {
  /** x_s, [H, W, C] in [-1, 1]; read only. */
  readonly x: Float32Array;
  /** s, 1..T. */
  readonly severity: number;
  /** s', 0..severity - 1. */
  readonly nextSeverity: number;
  readonly context: RowContext;
}

/** What one call computes for a row; arrays belong to the caller. */
export interface StepOutput {
  /** x̂0 = R(x_s, s - 1). */
  readonly estimate: Float32Array;
  /** D(x̂0, s'): the next state of Algorithm 1. */
  readonly degraded: Float32Array;
  /** x_s - D(x̂0, s) + D(x̂0, s'): the next state of Algorithm 2. */
  readonly improved: Float32Array;
  /** The next state with estimated noise (ddim); where the degradation mixes in noise. */
  readonly renoised?: Float32Array;
}

export interface DegradeRow {
  /** Clean image, [H, W, C] in [-1, 1]; read only. */
  readonly x0: Float32Array;
  /** s, 0..T. */
  readonly severity: number;
  readonly context: RowContext;
}

/** The weights of one version, ready to compute. A row's bits depend on nothing but the row. */
export interface RestorationModel {
  readonly version: ModelVersion;
  readonly shape: ImageShape;
  /** T. */
  readonly steps: number;
  /** Name of the data set that the run trains on. */
  readonly dataset: string;
  /** Family of the degradation. */
  readonly family: string;
  /** Batch sizes that give equal bits here, ascending; a call is padded to one of them. */
  readonly batchSizes: readonly number[];
  /** @throws ThawError THAW_SAMPLING_INVALID for a sampler that the degradation has no update for; absent: takes all but ddim. */
  readonly checkSampler?: (sampler: SamplingAlgorithm) => void;
  /** How generation starts; absent: not at all. @throws ThawError THAW_SAMPLING_INVALID for degradations that show the image to the end */
  readonly generationStart?: () => GenerationStart;
  /** Draws what the degradation needs for one row; a picture to mix with is read from its data set. */
  drawContext(seed: number, row: number): RowContext | Promise<RowContext>;
  /** Noise drawn anew for the state at a severity from 1 on; absent where the degradation mixes in none. */
  readonly redrawContext?: (seed: number, row: number, severity: number) => RowContext;
  /** What must be equal for equal bits, and its SHA-256; measured when it is first asked for. */
  fingerprint(): Promise<Fingerprint>;
  /** Keeps the model ready to compute until the returned function is called, even when newer versions take its place in memory. */
  hold(): () => void;
  /** One network call with every row at its own severity. At most as many rows as the largest batch size. */
  step(rows: readonly StepRow[]): Promise<StepOutput[]>;
  /** D for every row; the number of rows is not limited. */
  degrade(rows: readonly DegradeRow[]): Promise<Float32Array[]>;
}

/** What generation starts from, with the SHA-256 that names it. */
export type StartPrior = Pick<Prior, 'mixture' | 'edge' | 'severity'> & { readonly sha256: string };

/** Gives models by version; loads, verifies and warms them. */
export interface ModelSource {
  /** The head of a channel, or undefined while nothing was promoted to it. */
  headOf(channel: string): Promise<ModelVersion | undefined>;
  /** @throws ThawError THAW_VERSION_NOT_FOUND */
  versionOf(run: string, step: number): Promise<ModelVersion>;
  /** The newest checkpoint of a run, or undefined while it has none. */
  newestOf(run: string): Promise<ModelVersion | undefined>;
  /**
   * The model, loaded if it is not yet.
   * @throws ThawError when its bytes do not verify or the engine cannot run it; nothing is kept of it then.
   */
  load(version: ModelVersion): Promise<RestorationModel>;
  /**
   * The prior of a version, which is its for good from now on; or another one of the store, by its SHA-256.
   * @throws ThawError THAW_PRIOR_INVALID
   */
  priorOf?(version: ModelVersion, sha256?: string): Promise<StartPrior | undefined>;
  /** Versions in memory. */
  loaded(): readonly ModelVersion[];
}

/** Held-out images of a data set. */
export interface TestImages {
  count(dataset: string, split: string): Promise<number>;
  /** One image, cut to `shape` around its centre, [H, W, C] in [-1, 1]. */
  image(dataset: string, split: string, index: number, shape: ImageShape): Promise<Float32Array>;
  /** Mean of the train split, cut likewise, [H, W, C] in [0, 255]. */
  meanTrain(dataset: string, shape: ImageShape): Promise<Float32Array>;
}

/** Uncompressed 8-bit image. */
export interface Pixels extends ImageShape {
  readonly bytes: Uint8Array;
}

/** Image files. */
export interface ImageCodec {
  /**
   * Decodes a PNG or JPEG from a stranger to the shape asked for (scaled to cover it, centre cut out).
   * @param convert grey is repeated where colour is asked for, colour becomes grey (as packing a data set does it) where grey is; without it a
   *   greyscale file is refused there, and one with colours in it here

   * @throws ThawError THAW_IMAGE_INVALID, THAW_IMAGE_TOO_LARGE (before any pixel is decoded, unless the file is torn)
   */
  decode(file: Uint8Array, shape: ImageShape, convert: boolean): Promise<Pixels>;
  /** PNG; `scale` enlarges every pixel to a square. */
  encodePng(image: Pixels, scale?: number): Promise<Uint8Array>;
}

/** What the coordinator's page plays with. */
export interface Playground {
  start(request: PlayRequest): Promise<PlayAnswer>;
  frames(request: FramesRequest): Promise<FramesAnswer>;
}

/** The other samplers. */
export interface SamplerMesh {
  /** Offers a row to any sampler, possibly this one. Rejects when nobody answers. */
  offer(offer: RowOffer): Promise<RowAnswer>;
  serveRows(handler: (offer: RowOffer) => RowAnswer | Promise<RowAnswer>): void;
  /** Stops answering offers and evaluation requests. */
  stopServing(): Promise<void>;
  /** Tells all samplers, this one not included. */
  announce(event: SamplerEvent): void;
  onEvent(handler: (event: SamplerEvent) => void): void;
  serveEvaluations(handler: (request: EvaluateRequest) => Promise<EvaluateResult>): void;
  servePlayground(playground: Playground): void;
  announceEvaluation(result: EvaluateResult): void;
  /** Somebody says that a channel moved. */
  onChannelMoved(handler: (channel: string) => void): void;
  close(): Promise<void>;
}
