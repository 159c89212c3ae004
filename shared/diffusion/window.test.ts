import { describe, expect, it } from 'vitest';
import { fade } from './fade.js';
import { gaussianWindow, windowRowMap } from './window.js';

describe('gaussianWindow', () => {
  it('has the known values', () => {
    const window = gaussianWindow(3, 2.5);
    [0.3243, 0.3513, 0.3243].forEach((value, k) => expect(window[k]).toBeCloseTo(value, 4));
  });

  it('becomes a box or a single tap at the ends', () => {
    expect(Array.from(gaussianWindow(5, Infinity))).toEqual([0.2, 0.2, 0.2, 0.2, 0.2]);
    expect(Array.from(gaussianWindow(3, 1e-200))).toEqual([0, 1, 0]);
    expect(Array.from(gaussianWindow(1, 3))).toEqual([1]);
    expect(fade({ kernelStd: 1e-200, initialMask: 1, constant: true }, 0, 0)).toBe(0);
  });
});

describe('windowRowMap', () => {
  const identity = Float64Array.of(1, 0, 0, 0, 1, 0, 0, 0, 1);
  const window = Float64Array.of(0.25, 0.5, 0.25);

  it('wraps around or mirrors without repeating the border', () => {
    expect(Array.from(windowRowMap(window, 3, 'circular')(identity))).toEqual([
      0.5, 0.25, 0.25, 0.25, 0.5, 0.25, 0.25, 0.25, 0.5,
    ]);
    expect(Array.from(windowRowMap(window, 3, 'reflect')(identity))).toEqual([
      0.5, 0.5, 0, 0.25, 0.5, 0.25, 0, 0.5, 0.5,
    ]);
  });
});
