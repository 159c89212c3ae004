/** The parameters of the DDPM-style U-Net (official class `Model`): official names in state_dict order, and its dropout masks. */
import type { DdpmUnetConfig } from '../protocol/index.js';
import type { ParameterSpec } from './layout.js';
import type { Specs } from './parameter-specs.js';
import { convolution, groupNorm, linear } from './parameter-specs.js';

/** Edge and channels of the images that a network takes. */
export interface NetworkImages {
  readonly size: number;
  readonly channels: number;
}

/** One residual block: its name, widths and the edge of its maps. */
export interface ResidualBlock {
  readonly prefix: string;
  readonly inputs: number;
  readonly outputs: number;
  readonly edge: number;
}

/** One resolution on the way down or up. */
export interface Level {
  readonly index: number;
  readonly edge: number;
  readonly width: number;
  readonly blocks: readonly ResidualBlock[];
  readonly attention: boolean;
}

/** How the network is put together for images of one size. */
export interface DdpmPlan {
  readonly down: readonly Level[];
  readonly middle: readonly [ResidualBlock, ResidualBlock];
  /** By index, the finest resolution first, as they are named; they are run from the last to the first. */
  readonly up: readonly Level[];
}

export function ddpmPlan(config: DdpmUnetConfig, size: number): DdpmPlan {
  const { dim, mults, blocks: count, attentionSizes } = config;
  const widths = mults.map((mult) => dim * mult);
  const before = (level: number): number => (level === 0 ? dim : widths[level - 1]!);
  const base = (level: number): Omit<Level, 'blocks'> => {
    const edge = size / 2 ** level;
    return { index: level, edge, width: widths[level]!, attention: attentionSizes.includes(edge) };
  };
  const down = widths.map((width, level): Level => {
    const place = base(level);
    const blocks = Array.from({ length: count }, (_, j) => ({
      prefix: `down.${level}.block.${j}`,
      inputs: j === 0 ? before(level) : width,
      outputs: width,
      edge: place.edge,
    }));
    return { ...place, blocks };
  });
  const last = widths.length - 1;
  const deepest = { inputs: widths[last]!, outputs: widths[last]!, edge: size / 2 ** last };
  const up = widths.map((width, level): Level => {
    const place = base(level);
    const blocks = Array.from({ length: count + 1 }, (_, j) => {
      // The first block takes what came from below; the last skip of a level is that of the resolution above.
      const current = j === 0 ? widths[Math.min(level + 1, last)]! : width;
      const skip = j === count ? before(level) : width;
      return { prefix: `up.${level}.block.${j}`, inputs: current + skip, outputs: width, edge: place.edge };
    });
    return { ...place, blocks };
  });
  return {
    down,
    middle: [
      { prefix: 'mid.block_1', ...deepest },
      { prefix: 'mid.block_2', ...deepest },
    ],
    up,
  };
}

const timeWidth = (config: DdpmUnetConfig): number => config.dim * 4;

function residualBlockSpecs(specs: Specs, { prefix, inputs, outputs }: ResidualBlock, time: number): void {
  groupNorm(specs, `${prefix}.norm1`, inputs);
  convolution(specs, `${prefix}.conv1`, 3, inputs, outputs);
  linear(specs, `${prefix}.temb_proj`, time, outputs);
  groupNorm(specs, `${prefix}.norm2`, outputs);
  convolution(specs, `${prefix}.conv2`, 3, outputs, outputs);
  if (inputs !== outputs) convolution(specs, `${prefix}.nin_shortcut`, 1, inputs, outputs);
}

function attentionSpecs(specs: Specs, prefix: string, channels: number): void {
  groupNorm(specs, `${prefix}.norm`, channels);
  for (const part of ['q', 'k', 'v', 'proj_out']) convolution(specs, `${prefix}.${part}`, 1, channels, channels);
}

function levelSpecs(specs: Specs, way: 'down' | 'up', level: Level, time: number): void {
  for (const block of level.blocks) residualBlockSpecs(specs, block, time);
  if (level.attention)
    level.blocks.forEach((_, j) => attentionSpecs(specs, `${way}.${level.index}.attn.${j}`, level.width));
}

/** Parameters by official name, in the order of the official state_dict. */
export function ddpmWeightSpecs(
  config: DdpmUnetConfig,
  { size, channels }: NetworkImages,
): Record<string, ParameterSpec> {
  const specs: Specs = {};
  const plan = ddpmPlan(config, size);
  const time = timeWidth(config);
  const last = plan.down.length - 1;
  linear(specs, 'temb.dense.0', config.dim, time);
  linear(specs, 'temb.dense.1', time, time);
  convolution(specs, 'conv_in', 3, channels, config.dim);
  for (const level of plan.down) {
    levelSpecs(specs, 'down', level, time);
    if (level.index < last) convolution(specs, `down.${level.index}.downsample.conv`, 3, level.width, level.width);
  }
  residualBlockSpecs(specs, plan.middle[0], time);
  attentionSpecs(specs, 'mid.attn_1', plan.middle[0].outputs);
  residualBlockSpecs(specs, plan.middle[1], time);
  for (const level of plan.up) {
    levelSpecs(specs, 'up', level, time);
    if (level.index > 0) convolution(specs, `up.${level.index}.upsample.conv`, 3, level.width, level.width);
  }
  groupNorm(specs, 'norm_out', plan.down[0]!.width);
  convolution(specs, 'conv_out', 3, plan.down[0]!.width, channels);
  return specs;
}

/** Shapes [h, w, c] of the dropout masks of one image, by the name of their block, in the order of computation. */
export function ddpmDropoutShapes(config: DdpmUnetConfig, size: number): Record<string, readonly number[]> {
  if (config.dropout === 0) return {};
  const { down, middle, up } = ddpmPlan(config, size);
  const blocks = [...down, ...[...up].reverse()].map((level) => level.blocks);
  const inOrder = [...blocks.slice(0, down.length).flat(), ...middle, ...blocks.slice(down.length).flat()];
  return Object.fromEntries(inOrder.map(({ prefix, edge, outputs }) => [prefix, [edge, edge, outputs]]));
}
