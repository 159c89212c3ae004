import { describe, expect, it } from 'vitest';
import { bandsOf } from './bands.js';

const work = { rowsPerImage: 7, images: 4, bytesPerRow: 1000, filterBytes: 1e6, bandBytes: 1e9, wholeImages: false };

describe('bandsOf', () => {
  it('leaves small work whole', () => {
    expect(bandsOf(work)).toEqual([{ from: 0, to: 28 }]);
    expect(bandsOf({ ...work, bandBytes: Infinity })).toHaveLength(1);
  });

  it('cuts larger work into bands of nearly equal size that cover every row once', () => {
    const bands = bandsOf({ ...work, bandBytes: 6000 });
    expect(bands).toHaveLength(5);
    expect(bands[0]!.from).toBe(0);
    expect(bands.at(-1)!.to).toBe(28);
    bands.slice(1).forEach(({ from }, i) => expect(from).toBe(bands[i]!.to));
    for (const { from, to } of bands) expect([5, 6]).toContain(to - from);
  });

  it('cuts between images only, where tiles reach over their border', () => {
    const bands = bandsOf({ ...work, bandBytes: 6000, wholeImages: true });
    expect(bands).toEqual([0, 7, 14, 21].map((from) => ({ from, to: from + 7 })));
  });

  it('has at least one row in a band', () => {
    expect(bandsOf({ ...work, bandBytes: 1 })).toHaveLength(28);
  });

  it('leaves work whole whose filter would be read again and again', () => {
    expect(bandsOf({ ...work, bandBytes: 1, filterBytes: 1e7 })).toHaveLength(1);
  });
});
