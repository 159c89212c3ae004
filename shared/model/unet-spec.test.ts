import { describe, expect, it } from 'vitest';
import type { UnetConfig } from '../protocol/index.js';
import { parameterCount, unetWeightSpecs } from './unet-spec.js';

const config = (dim: number, mults: number[], timeEmbedding = true): UnetConfig => ({
  kind: 'convnext-unet',
  dim,
  mults,
  timeEmbedding,
  residual: false,
  zeroInitLast: false,
});

describe('unetWeightSpecs', () => {
  it('has the published numbers of parameters', () => {
    const count = (c: UnetConfig, channels: number): number => parameterCount(unetWeightSpecs(c, channels));
    expect(count(config(64, [1, 2, 4, 8]), 3)).toBe(56_615_708);
    expect(count(config(64, [1, 2, 4, 8]), 1)).toBe(56_612_916);
    expect(count(config(64, [1, 2, 4, 8], false), 3)).toBe(56_278_745);
    expect(count(config(16, [1, 2, 4]), 3)).toBe(1_007_996);
    expect(count(config(32, [1, 2, 4]), 3)).toBe(3_737_692);
    expect(count(config(32, [1, 2, 4, 8]), 3)).toBe(14_468_572);
    expect(count(config(12, [1, 2, 3]), 3)).toBe(434_772);
  });

  it('names one stage as the official module does', () => {
    const names = Object.keys(unetWeightSpecs(config(16, [1, 2]), 3));
    expect(names.slice(0, 4)).toEqual(['time_mlp.1.weight', 'time_mlp.1.bias', 'time_mlp.3.weight', 'time_mlp.3.bias']);
    expect(names).toContain('downs.0.2.fn.fn.to_qkv.weight');
    expect(names).not.toContain('downs.0.2.fn.fn.to_qkv.bias');
    expect(names).not.toContain('downs.0.0.net.0.g');
    expect(names).not.toContain('downs.1.3.weight');
    expect(names.at(-1)).toBe('final_conv.1.bias');
  });
});
