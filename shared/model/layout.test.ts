import { describe, expect, it } from 'vitest';
import { fromOfficial, sizeOf, toOfficial, transposeData } from './layout.js';
import { unetWeightSpecs } from './unet-spec.js';

describe('transposeData', () => {
  it('permutes axes', () => {
    const data = Float32Array.from({ length: 6 }, (_, i) => i);
    expect(Array.from(transposeData(data, [2, 3], [1, 0]))).toEqual([0, 3, 1, 4, 2, 5]);
    expect(Array.from(transposeData(data, [1, 2, 3], [2, 0, 1]))).toEqual([0, 3, 1, 4, 2, 5]);
    expect(() => transposeData(data, [2, 2], [1, 0])).toThrow('expected 4 values');
  });
});

describe('official and model layout', () => {
  const specs = unetWeightSpecs(
    { kind: 'convnext-unet', dim: 8, mults: [1, 2], timeEmbedding: true, residual: false, zeroInitLast: false },
    3,
  );

  it('a round trip is exact for every parameter', () => {
    for (const spec of Object.values(specs)) {
      const data = Float32Array.from({ length: sizeOf(spec.modelShape) }, (_, i) => i);
      expect(fromOfficial(spec, toOfficial(spec, data))).toEqual(data);
      expect(spec.officialPermutation.map((axis) => spec.modelShape[axis]).filter((n) => n !== 1)).toEqual(
        spec.officialShape.filter((n) => n !== 1),
      );
    }
  });

  it('puts the convolution filter element [o, i, y, x] where HWIO wants it', () => {
    const spec = specs['downs.0.0.net.1.weight']!;
    const [o, i, y, x] = [5, 2, 1, 0];
    const [height, width, inputs, outputs] = spec.modelShape as [number, number, number, number];
    const official = new Float32Array(sizeOf(spec.officialShape));
    official[((o * inputs + i) * height + y) * width + x] = 1;
    expect(fromOfficial(spec, official).indexOf(1)).toBe(((y * width + x) * inputs + i) * outputs + o);
  });
});
