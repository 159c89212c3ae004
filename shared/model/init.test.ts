import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { UnetConfig } from '../protocol/index.js';
import { initialWeights } from './init.js';
import { toOfficial } from './layout.js';
import { unetWeightSpecs } from './unet-spec.js';

const config: UnetConfig = {
  kind: 'convnext-unet',
  dim: 16,
  mults: [1, 2],
  timeEmbedding: true,
  residual: true,
  zeroInitLast: true,
};
const images = { size: 8, channels: 1 };
const specs = unetWeightSpecs(config, 1);

describe('initialWeights', () => {
  const weights = initialWeights(config, images, 7);

  it('is uniform within 1/sqrt(fan_in), gains 1, shifts 0', () => {
    const bounds: Record<string, number> = {
      'downs.0.1.net.1.weight': 1 / Math.sqrt(16 * 9),
      'downs.0.1.net.1.bias': 1 / Math.sqrt(16 * 9),
      'downs.0.1.ds_conv.weight': 1 / 7,
      'time_mlp.1.weight': 1 / Math.sqrt(16),
      'ups.0.3.weight': 1 / Math.sqrt(16 * 16),
    };
    for (const [name, bound] of Object.entries(bounds)) {
      const values = weights[name]!;
      const largest = values.reduce((max, v) => Math.max(max, Math.abs(v)), 0);
      expect(largest).toBeLessThanOrEqual(Math.fround(bound));
      expect(largest).toBeGreaterThan(0.7 * bound);
      // The mean of n uniform values has deviation bound / sqrt(3 n).
      const mean = values.reduce((sum, v) => sum + v, 0) / values.length;
      expect(Math.abs(mean)).toBeLessThan((4 * bound) / Math.sqrt(3 * values.length));
    }
    expect(new Set(weights['downs.0.1.net.0.g'])).toEqual(new Set([1]));
    expect(new Set(weights['downs.0.1.net.0.b'])).toEqual(new Set([0]));
  });

  it('starts the last convolution at zero when asked', () => {
    expect(new Set(weights['final_conv.1.weight'])).toEqual(new Set([0]));
    expect(new Set(weights['final_conv.1.bias'])).toEqual(new Set([0]));
    expect(
      new Set(initialWeights({ ...config, zeroInitLast: false }, images, 7)['final_conv.1.weight']).size,
    ).toBeGreaterThan(10);
  });

  it('depends on the seed, and one seed always gives the same bits', () => {
    const digest = (seed: number): string => {
      const hash = createHash('sha256');
      const drawn = initialWeights(config, images, seed);
      for (const name of Object.keys(drawn).sort())
        hash.update(new Uint8Array(toOfficial(specs[name]!, drawn[name]!).buffer));
      return hash.digest('hex');
    };
    expect(digest(7)).toBe(digest(7));
    expect(digest(8)).not.toBe(digest(7));
    expect(digest(7)).toMatchInlineSnapshot(`"826972b972bdb23e3ef19866157e18ab055c4e86f5e1835f8013f3f008ebc27e"`);
  });
});
