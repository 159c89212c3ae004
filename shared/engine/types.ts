/**
 * The words of the engine: what a program is, what tracing records, what lowering produces, what running needs.
 * Types only, so that every room of the engine can import them without importing each other.
 */
import type { Tensor } from '@tensorflow/tfjs-core';
import type { EngineKind, Recompute } from '@thaw/shared/protocol';

export type DType = 'float32' | 'int32';
/** Inside a graph there are booleans as well (comparisons, masks); they never cross its border. */
export type GraphDType = DType | 'bool';

export interface TensorSpec {
  readonly shape: readonly number[];
  readonly dtype: DType;
}

export type TensorData = Float32Array | Int32Array;

/** A function of tensors, in plain tfjs ops, with everything that is known before it runs: names, shapes, types. */
export interface ProgramDefinition {
  readonly name: string;
  /** Model layout (tfjs: convolution filters are [height, width, in, out]); all float32. */
  readonly weights: Readonly<Record<string, TensorSpec>>;
  readonly inputs: Readonly<Record<string, TensorSpec>>;
  /**
   * Called once, while tracing. It must be pure, make its tensors inside itself, and read no values. It owns nothing: tensors it makes are disposed by the caller.
   */
  readonly fn: (weights: Record<string, Tensor>, inputs: Record<string, Tensor>) => Record<string, Tensor>;
  /** Name of a scalar output: adds the outputs `grad/<weight>` for every weight (zeros for one that is not reached). */
  readonly gradientOf?: string;
}

/**
 * One recorded kernel. `attributes` are normalised: axes are non-negative and ascending, sizes explicit, strides and
 * paddings numbers. {@link NodeAttributes} lists them by kernel.
 */
export interface TracedNode {
  readonly id: number;
  /** tfjs kernel name. */
  readonly op: string;
  /** Value ids, in the order of {@link NodeAttributes}. */
  readonly inputs: readonly number[];
  readonly attributes: Readonly<Record<string, unknown>>;
  /** Value ids. Every kernel of today has exactly one. */
  readonly outputs: readonly number[];
  /** The part of the network that it belongs to, if the program names parts ({@link Segment}). */
  readonly segment?: Segment;
}

/**
 * A part of a network whose inner values may be computed again for the way back. A program names one by a tidy around it:
 * `tf.tidy('level 0: downs.0.1', () => block(x))`, where level 0 is the finest.
 */
export interface Segment {
  readonly level: number;
  readonly name: string;
}

export type ValueSource =
  | { readonly kind: 'weight' | 'input'; readonly name: string }
  /**
   * Row-major data. Either one element per position, or **exactly one element** for a value whose positions are all
   * equal, whatever its shape (gradients of Sum and Mean make such constants at full activation size).
   * float32 -> Float32Array, int32 -> Int32Array, bool -> Uint8Array.
   */
  | { readonly kind: 'constant'; readonly data: Float32Array | Int32Array | Uint8Array }
  | { readonly kind: 'node'; readonly node: number; readonly port: number };

export interface TracedValue {
  readonly id: number;
  readonly shape: readonly number[];
  readonly dtype: GraphDType;
  readonly source: ValueSource;
}

/** `values[i].id === i`, `nodes[i].id === i`; nodes are in topological order. */
export interface TracedGraph {
  readonly name: string;
  readonly values: readonly TracedValue[];
  readonly nodes: readonly TracedNode[];
  /** Output name -> value id. Gradient outputs `grad/<weight>` have the weight's model shape here. */
  readonly outputs: Readonly<Record<string, number>>;
}

/** Geometry of a two-dimensional convolution, NHWC, dilation 1. Filters are [height, width, in, out or multiplier]. */
export interface ConvolutionAttributes {
  readonly filterSize: readonly [height: number, width: number];
  readonly strides: readonly [height: number, width: number];
  readonly dilations: readonly [height: number, width: number];
  readonly pads: readonly [top: number, left: number, bottom: number, right: number];
  /** Shape of the convolution's input (NHWC), whichever of the three kernels this is. */
  readonly inputShape: readonly number[];
  readonly filterShape: readonly number[];
  /** Shape of the convolution's output (NHWC). */
  readonly outputShape: readonly number[];
}

/**
 * What the recording backend writes into `attributes`, by kernel. Inputs in the order given behind each kernel.
 * Kernels with no attributes: unary (x), binary (a, b; broadcast like NumPy), comparisons (a, b -> bool),
 * LogicalAnd/LogicalOr/LogicalNot, Select (condition, t, e), Reshape (x; target = shape of the output value),
 * BroadcastTo (x; the same), Identity (x).
 * Recorded in terms of others, so never seen in a graph: ExpandDims, Pack, Unpack, SplitV, ZerosLike, OnesLike, Fill,
 * Range, AddN, LinSpace.
 */
export interface NodeAttributes {
  /** (x): x > 0 ? 1 : alpha; NaN stays NaN. */
  readonly Step: { readonly alpha: number };
  /** (x) */
  readonly LeakyRelu: { readonly alpha: number };
  /** (x) */
  readonly Cast: { readonly dtype: GraphDType };
  /** (x) */
  readonly ClipByValue: { readonly min: number; readonly max: number };
  /** (x); Sum, Mean, Max, Min, Prod, Any, All. */
  readonly Reduction: { readonly axes: readonly number[]; readonly keepDims: boolean };
  /** (x) -> int32; ArgMax and ArgMin. */
  readonly ArgMax: { readonly axis: number };
  /** (x) */
  readonly Cumsum: { readonly axis: number; readonly exclusive: boolean; readonly reverse: boolean };
  /** (logits); Softmax and LogSoftmax. */
  readonly Softmax: { readonly axis: number };
  /** (x) */
  readonly Transpose: { readonly perm: readonly number[] };
  /** (x) */
  readonly Slice: { readonly begin: readonly number[]; readonly size: readonly number[] };
  /** (x); `strides` may be negative, then `end` may be -1 - length, as ONNX Slice understands it. */
  readonly StridedSlice: {
    readonly begin: readonly number[];
    readonly end: readonly number[];
    readonly strides: readonly number[];
  };
  /** (x0, x1, ...) */
  readonly Concat: { readonly axis: number };
  /** (x) */
  readonly Tile: { readonly reps: readonly number[] };
  /** (x) */
  readonly PadV2: {
    readonly paddings: readonly (readonly [before: number, after: number])[];
    readonly constantValue: number;
  };
  /** (x) */
  readonly MirrorPad: {
    readonly paddings: readonly (readonly [before: number, after: number])[];
    readonly mode: 'reflect' | 'symmetric';
  };
  /** (x) */
  readonly Reverse: { readonly axes: readonly number[] };
  /** (x, indices int32), no batch dims. Indices must be in range: out of range is undefined. */
  readonly GatherV2: { readonly axis: number };
  /** (x, indices int32 [..., depth]) */
  readonly GatherNd: Readonly<Record<string, never>>;
  /** (indices int32 [..., depth], updates); duplicates add up. The shape is the output value's. */
  readonly ScatterNd: Readonly<Record<string, never>>;
  /** (x, segmentIds int32 of rank 1): rows of axis 0 added by segment; the gradient of GatherV2. */
  readonly UnsortedSegmentSum: { readonly numSegments: number };
  /** (indices int32) -> dtype of the output value. */
  readonly OneHot: { readonly depth: number; readonly onValue: number; readonly offValue: number };
  /** (a, b): last two axes multiplied, leading ones broadcast. */
  readonly BatchMatMul: { readonly transposeA: boolean; readonly transposeB: boolean };
  /** Conv2D (x, filter), Conv2DBackpropInput (dy, filter), Conv2DBackpropFilter (x, dy). */
  readonly Conv2D: ConvolutionAttributes;
  /** DepthwiseConv2dNative, ...BackpropInput, ...BackpropFilter with the same inputs as Conv2D's. */
  readonly DepthwiseConv2dNative: ConvolutionAttributes;
  /** (x NHWC); AvgPool; AvgPoolGrad (dy) has the same attributes. `inputShape` NHWC. Padding is not counted in the mean. */
  readonly AvgPool: Omit<ConvolutionAttributes, 'filterShape'>;
  /** (images NHWC) */
  readonly ResizeNearestNeighbor: {
    readonly size: readonly [number, number];
    readonly alignCorners: boolean;
    readonly halfPixelCenters: boolean;
  };
  /** (dy NHWC); the output has the shape of the images. */
  readonly ResizeNearestNeighborGrad: { readonly size: readonly [number, number]; readonly alignCorners: boolean };
}

/** A weight as a program stores it: the axes of the model layout in stored order; the identity is the model layout. */
export interface StoredWeight {
  readonly name: string;
  /** Model layout. */
  readonly shape: readonly number[];
  readonly permutation: readonly number[];
  /** Number of elements. */
  readonly size: number;
}

export interface NamedTensorSpec extends TensorSpec {
  readonly name: string;
}

/**
 * Channels in a block of ONNX Runtime's internal blocked layout; false = blocked convolutions are not used. The size
 * depends on the processor, and a wrong one computes wrong numbers without an error.
 */
export type BlockSize = false | 8 | 16;

/** What a graph reads of a weight that never changes, made once by a graph of its own and read by programs of every batch size. */
export interface PreparedWeight {
  /** Of the input of the program's graph. Equal names say that it is made of the same weight in the same way. */
  readonly name: string;
  readonly shape: readonly number[];
  /** As `onnx` reads it, under its own name. */
  readonly weight: StoredWeight;
  /** Graph with the weight as its input and `name` as its output. */
  readonly onnx: Uint8Array;
}

/** A lowered program. Structured-cloneable; equal definitions and options give equal bytes. */
export interface Program {
  readonly name: string;
  readonly onnx: Uint8Array;
  /** If it was lowered for fixed weights: those that its graph wants as constants. */
  readonly weights: readonly StoredWeight[];
  /** Inputs of the graph that are made of fixed weights; empty unless it was lowered for such. */
  readonly prepared: readonly PreparedWeight[];
  readonly inputs: readonly NamedTensorSpec[];
  /** Gradient outputs `grad/<weight>` are flat float32 in the stored order of that weight. */
  readonly outputs: readonly NamedTensorSpec[];
  /** SHA-256 of the graph and of these tables, hexadecimal. */
  readonly digest: string;
  /** SHA-256 of the graph as it is without recomputation, which changes no bit of the results: what a fingerprint is made of. */
  readonly resultDigest: string;
  readonly loweringVersion: number;
  /** What it was lowered for: an engine whose own block size is another refuses it. */
  readonly blockedConv: BlockSize;
}

export { engineKinds, type EngineKind, type Recompute } from '@thaw/shared/protocol';

/** What must be equal for equal bits, as far as it can be named (the rest is measured: `probeFingerprint`). */
export interface EngineDescription {
  readonly kind: EngineKind;
  /** npm package that computes, with its exact version: `onnxruntime-node@1.30.0`. */
  readonly package: string;
  /** Execution provider or tfjs backend. */
  readonly provider: string;
  /** Processor or accelerator model. */
  readonly device: string;
  /** Operating system and architecture: `linux-x64`. */
  readonly platform: string;
  readonly nodeVersion: string;
  readonly v8Version: string;
  /** 0 for eager engines. */
  readonly loweringVersion: number;
  /** Outcome of the self-test of blocked convolutions when the engine was opened: block size, or false and why. */
  readonly blockedConv: { readonly blockSize: BlockSize; readonly reason: string };
  readonly workers: number;
  /** Why this kind was taken: 'asked for', or the reason of `auto`. */
  readonly reason: string;
}

export interface EngineCall {
  /**
   * Stored order. Give views on a SharedArrayBuffer: the worker reads them itself; anything else is copied on the way.
   * They must not change until the call settles.
   */
  readonly weights: Readonly<Record<string, Float32Array>>;
  /**
   * Where ONNX Runtime cannot read shared memory (on Node 20), a worker copies shared weights into its own before it computes. Calls with
   * the same version and the same arrays do without: give a number that changes whenever the weights do.
   */
  readonly weightsVersion?: number | string;
  readonly inputs: Readonly<Record<string, TensorData>>;
  /**
   * Arrays for outputs, by name; views on one buffer are fine, if nothing else is in it. The call takes their buffers over (they are
   * detached once it begins) and gives the filled arrays back among its outputs; they are gone if it fails. Whoever calls often spares
   * the engine new memory for every result this way.
   */
  readonly into?: Readonly<Record<string, TensorData>>;
  /** A call not yet begun is dropped; the result of a running one is discarded. Rejects with THAW_ENGINE_ABORTED. */
  readonly signal?: AbortSignal;
}

/** A program made ready on an engine. */
export interface Compiled {
  readonly name: string;
  readonly weights: readonly StoredWeight[];
  readonly inputs: readonly NamedTensorSpec[];
  readonly outputs: readonly NamedTensorSpec[];
  /** What was compiled: digest of the lowered program, or of the calls of kernels for an eager engine. */
  readonly digest: string;
  /** Equal for programs that differ in recomputation alone: their results have equal bits. */
  readonly resultDigest: string;
  /** Outputs belong to the caller. Calls may overlap; they are queued and given to any free worker. */
  run(call: EngineCall): Promise<Record<string, TensorData>>;
  /** Frees the sessions of this program when its last holder disposes it. Calls after this reject. */
  dispose(): Promise<void>;
}

export interface LoadOptions {
  /**
   * What a program with gradients computes again instead of keeping it: less memory, more time, the same bits. Eager engines can do
   * nothing but 'none', the default.
   */
  readonly recompute?: Recompute;
}

export interface Engine {
  readonly kind: EngineKind;
  describe(): EngineDescription;
  /** Traces, lowers and makes sessions on every worker. Loading an equal program again shares its sessions. */
  load(definition: ProgramDefinition, options?: LoadOptions): Promise<Compiled>;
  /**
   * Makes programs ready whose weights never change (no gradients), on workers of their own: quicker to run than with weights as
   * inputs, and no other call of this engine waits while they are made. Each definition is traced and lowered once, however often it is
   * given; closing the engine does not close what was opened here.
   * @param weights in model layout, best on shared memory; they must not change
   */
  openFixed(
    definitions: readonly ProgramDefinition[],
    weights: Readonly<Record<string, Float32Array>>,
  ): Promise<FixedPrograms>;
  /**
   * Rejects what is queued, lets what runs finish, stops every worker. No thread is left when it resolves. Await it before
   * leaving the process: ONNX Runtime aborts a process (status 134) that calls process.exit while a call computes.
   */
  close(): Promise<void>;
}

/** Programs with fixed weights, in the order in which their definitions were given; their calls take no weights. */
export interface FixedPrograms {
  readonly programs: readonly Compiled[];
  /** Lets calls under way finish and frees everything. */
  close(): Promise<void>;
}

export interface EngineAvailability {
  readonly kind: EngineKind;
  readonly available: boolean;
  /** One sentence: versions when available, otherwise what is missing and how to get it. */
  readonly reason: string;
  readonly package?: string;
}
