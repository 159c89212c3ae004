/** The parameters of the ConvNeXt U-Net: official names in official (state_dict) order, shapes, layouts and initialisation. */
import type { UnetConfig } from '../protocol/index.js';
import type { ParameterSpec } from './layout.js';
import { sizeOf } from './layout.js';
import type { Specs } from './parameter-specs.js';
import { constant, convolution, depthwise, linear, transposedConvolution } from './parameter-specs.js';

/** Heads of the linear attention and channels of each. */
export const attentionHeads = 4;
export const attentionHeadWidth = 32;
const attentionWidth = attentionHeads * attentionHeadWidth;

function channelNorm(specs: Specs, name: string, channels: number): void {
  const officialShape = [1, channels, 1, 1];
  specs[`${name}.g`] = { modelShape: [channels], officialShape, officialPermutation: [0], initial: constant(1) };
  specs[`${name}.b`] = { modelShape: [channels], officialShape, officialPermutation: [0], initial: constant(0) };
}

export interface ConvNextBlockOptions {
  readonly inputs: number;
  readonly outputs: number;
  /** Width of the time embedding; absent: the block takes no time. */
  readonly timeWidth?: number;
  readonly norm: boolean;
}

/** Parameters of a ConvNeXt block under `prefix`. */
export function convNextBlockSpecs(
  specs: Specs,
  prefix: string,
  { inputs, outputs, timeWidth, norm }: ConvNextBlockOptions,
): void {
  if (timeWidth !== undefined) linear(specs, `${prefix}mlp.1`, timeWidth, inputs);
  depthwise(specs, `${prefix}ds_conv`, 7, inputs);
  if (norm) channelNorm(specs, `${prefix}net.0`, inputs);
  convolution(specs, `${prefix}net.1`, 3, inputs, outputs * 2);
  convolution(specs, `${prefix}net.3`, 3, outputs * 2, outputs);
  if (inputs !== outputs) convolution(specs, `${prefix}res_conv`, 1, inputs, outputs);
}

/** Parameters of x + attention(norm(x)) under `prefix`. */
export function linearAttentionSpecs(specs: Specs, prefix: string, channels: number): void {
  convolution(specs, `${prefix}fn.fn.to_qkv`, 1, channels, attentionWidth * 3, false);
  convolution(specs, `${prefix}fn.fn.to_out`, 1, attentionWidth, channels);
  channelNorm(specs, `${prefix}fn.norm`, channels);
}

export const channelNormSpecs = (specs: Specs, prefix: string, channels: number): void =>
  channelNorm(specs, prefix, channels);
export const downsampleSpecs = (specs: Specs, prefix: string, channels: number): void =>
  convolution(specs, prefix, 4, channels, channels);
export const upsampleSpecs = (specs: Specs, prefix: string, channels: number): void =>
  transposedConvolution(specs, prefix, 4, channels, channels);

/** Channels of every stage: the image's, then dim * mult. */
export const stageWidths = (config: UnetConfig, channels: number): number[] => [
  channels,
  ...config.mults.map((mult) => mult * config.dim),
];

/**
 * Parameters of the ConvNeXt U-Net by official name, in the order of the official state_dict.
 * @param channels of the image.
 */
export function unetWeightSpecs(config: UnetConfig, channels: number): Record<string, ParameterSpec> {
  const specs: Specs = {};
  const widths = stageWidths(config, channels);
  const last = widths.length - 2;
  const timeWidth = config.timeEmbedding ? config.dim : undefined;
  if (config.timeEmbedding) {
    linear(specs, 'time_mlp.1', config.dim, config.dim * 4);
    linear(specs, 'time_mlp.3', config.dim * 4, config.dim);
  }
  for (let stage = 0; stage <= last; stage++) {
    const [inputs, outputs] = [widths[stage]!, widths[stage + 1]!];
    convNextBlockSpecs(specs, `downs.${stage}.0.`, { inputs, outputs, timeWidth, norm: stage !== 0 });
    convNextBlockSpecs(specs, `downs.${stage}.1.`, { inputs: outputs, outputs, timeWidth, norm: true });
    linearAttentionSpecs(specs, `downs.${stage}.2.`, outputs);
    if (stage < last) downsampleSpecs(specs, `downs.${stage}.3`, outputs);
  }
  for (let up = 0; up < last; up++) {
    const [inner, outer] = [widths[last - up]!, widths[last - up + 1]!];
    convNextBlockSpecs(specs, `ups.${up}.0.`, { inputs: outer * 2, outputs: inner, timeWidth, norm: true });
    convNextBlockSpecs(specs, `ups.${up}.1.`, { inputs: inner, outputs: inner, timeWidth, norm: true });
    linearAttentionSpecs(specs, `ups.${up}.2.`, inner);
    upsampleSpecs(specs, `ups.${up}.3`, inner);
  }
  const middle = widths[last + 1]!;
  convNextBlockSpecs(specs, 'mid_block1.', { inputs: middle, outputs: middle, timeWidth, norm: true });
  linearAttentionSpecs(specs, 'mid_attn.', middle);
  convNextBlockSpecs(specs, 'mid_block2.', { inputs: middle, outputs: middle, timeWidth, norm: true });
  convNextBlockSpecs(specs, 'final_conv.0.', { inputs: config.dim, outputs: config.dim, norm: true });
  convolution(specs, 'final_conv.1', 1, config.dim, channels, true, config.zeroInitLast ? constant(0) : undefined);
  return specs;
}

/** Number of parameters. */
export const parameterCount = (specs: Readonly<Record<string, ParameterSpec>>): number =>
  Object.values(specs).reduce((sum, spec) => sum + sizeOf(spec.modelShape), 0);
