import type { OperatorUse } from './operator-use.js';
import type { BlockSize, Recompute } from '../types.js';
import { defaultBandBytes } from './convolution/bands.js';

/**
 * Version of what lowering emits. Raise it with every change that can change the bits of a result: it is part of the
 * engine fingerprint.
 */
export const loweringVersion = 5;

/** What the runtime that will load the graph can do. */
export interface Capabilities {
  /** Operators of domain com.microsoft that exist for the provider (FusedMatMul, Gelu); HardSigmoid as a fused step. */
  readonly microsoftOps: boolean;
  /** Domain com.microsoft.nchwc: what `blockedConvSelfTest` found on this machine; false = not to be used. */
  readonly blockedConv: BlockSize;
}

/** Which formulations may be chosen; `choose.ts` says when each one is. All false is plain ONNX. */
export interface Formulations {
  /** 3x3 convolutions and both gradients by Winograd's minimal filtering. */
  readonly winograd: boolean;
  /** 4x4 stride-2 convolutions as 2x2 convolutions on four phases, by Winograd. */
  readonly stridedPhases: boolean;
  /** Filter gradients as one matrix product over the whole batch. */
  readonly filterGradientProduct: boolean;
  /** Depthwise filter gradients as one batched product with Toeplitz structure. */
  readonly depthwiseToeplitz: boolean;
}

export interface LoweringOptions {
  readonly capabilities?: Partial<Capabilities>;
  readonly formulations?: Partial<Formulations>;
  /** See `ResolvedOptions.hideShapes`. */
  readonly hideShapes?: boolean;
  /** See `ResolvedOptions.fixedWeights`; false unless given. */
  readonly fixedWeights?: boolean;
  /** See `bandsOf` (lower/convolution/bands.ts). */
  readonly bandBytes?: number;
  /** See `recomputed` (lower/recompute.ts); 'none' unless given. */
  readonly recompute?: Recompute;
  /** Why a provider does not compute an operator with these types, undefined if it does: such a program is refused. */
  readonly missing?: (use: OperatorUse) => string | undefined;
}

export interface ResolvedOptions {
  readonly capabilities: Capabilities;
  readonly formulations: Formulations;
  /**
   * Whether a choice may depend on the batch size. Not where rows must have equal bits in batches of different sizes: in
   * programs without gradients, which samplers run.
   */
  readonly choiceByBatch: boolean;
  /**
   * Keeps ONNX Runtime from planning, when it loads the graph, which tensors of equal shape follow each other in one buffer. Such a
   * buffer is held from the first of them to the last, though none may be alive in between: in a training step, from the forward
   * pass to the end. Where shapes are not known then, a buffer is freed after its last reader. Shapes are hidden by giving each
   * Reshape its target as an input of the graph with a default value. By default for the CPU provider.
   */
  readonly hideShapes: boolean;
  /**
   * The weights never change: what suits constant filters is chosen, and the weights are no inputs of the graph. It is not complete
   * before `withInitializers` (engine/onnx) has added them.
   */
  readonly fixedWeights: boolean;
  /**
   * Transformed fixed filters are inputs of the graph (`Program.prepared`), so that programs of all batch sizes share one copy, which ONNX
   * Runtime would make for every session. For the CPU provider only: others would copy inputs to the device in every call.
   */
  readonly preparesWeights: boolean;
  readonly recompute: Recompute;
  /** Bytes of tiles that a convolution works on at a time (`bandsOf`); Infinity = all of them, by default for other providers than the CPU. */
  readonly bandBytes: number;
}

export function resolveOptions(options: LoweringOptions, { training }: { training: boolean }): ResolvedOptions {
  const capabilities = { microsoftOps: true, blockedConv: false as const, ...options.capabilities };
  return {
    choiceByBatch: training,
    fixedWeights: options.fixedWeights ?? false,
    preparesWeights: (options.fixedWeights ?? false) && capabilities.microsoftOps,
    recompute: options.recompute ?? 'none',
    bandBytes: options.bandBytes ?? (capabilities.microsoftOps ? defaultBandBytes : Infinity),
    hideShapes: options.hideShapes ?? capabilities.microsoftOps,
    capabilities,
    formulations: {
      winograd: true,
      stridedPhases: true,
      filterGradientProduct: true,
      depthwiseToeplitz: true,
      ...options.formulations,
    },
  };
}

/** Plain ONNX: standard operators, one per tfjs kernel. The reference that every formulation is tested against. */
export const plainOptions: LoweringOptions = {
  capabilities: { microsoftOps: false, blockedConv: false },
  formulations: { winograd: false, stridedPhases: false, filterGradientProduct: false, depthwiseToeplitz: false },
};
