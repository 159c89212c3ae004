import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeSafetensors } from '@thaw/shared/storage';
import { featureStatistics } from './moments.js';
import { parseNpy } from './npy.js';
import { decodeStatistics, encodeStatistics, statisticsFrom } from './statistics-file.js';
import { numpyFile } from './statistics.fixture.js';

const invalid = (words: string) =>
  expect.objectContaining({
    code: 'THAW_FEATURES_INVALID',
    message: expect.stringContaining(words) as string,
  }) as Error;
const network = { metric: 'fid', title: 'FID', sha256: 'a'.repeat(64), dimensions: 3 };
const statistics = featureStatistics(
  Float64Array.from({ length: 30 }, (_, i) => Math.sin(i * i)),
  3,
);
const array = (data: number[], ...shape: number[]) => ({ shape, data: Float64Array.from(data) });

describe('statistics of features in a file', () => {
  it('come back to the bit, with the network they are of', () => {
    const back = decodeStatistics(encodeStatistics(statistics, network), 'file');
    const { metric, title, sha256 } = network;
    expect(back).toEqual({ statistics, network: { metric, title, sha256 } });
  });

  it('are refused when they are something else, or torn', () => {
    const bytes = encodeStatistics(statistics, network);
    expect(() => decodeStatistics(bytes.subarray(0, 100), 'x.safetensors')).toThrow(
      invalid('x.safetensors is no safetensors'),
    );
    const other = encodeSafetensors({ mu: { dtype: 'F64', shape: [1], data: new Float64Array(1) } });
    expect(() => decodeStatistics(other, 'x')).toThrow(invalid('does not hold statistics of features'));
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const damaged = bytes.slice();
        damaged[at]! ^= flip;
        try {
          const { statistics: read } = decodeStatistics(damaged, 'x');
          expect([...read.mean, ...read.covariance].every(Number.isFinite)).toBe(true);
        } catch (error) {
          expect(error).toMatchObject({ code: 'THAW_FEATURES_INVALID' });
        }
      }),
      { numRuns: 200, seed: 1 },
    );
  });

  it('must be a mean and a covariance', () => {
    const mu = array([1, 2], 2);
    const cases: [Parameters<typeof statisticsFrom>, string][] = [
      [[undefined, array([1], 1, 1), 'f'], 'f has no array "mu"'],
      [[mu, undefined, 'f'], 'f has no array "sigma"'],
      [[mu, array([1, 0, 0], 3), 'f'], 'has "mu" [2] and "sigma" [3]'],
      [[mu, array([1, 0, 0, 1, 0, 0], 2, 3), 'f'], 'has "mu" [2] and "sigma" [2, 3]'],
      [[mu, array([1, 0, 0, NaN], 2, 2), 'f'], 'values that are no numbers'],
      [[mu, array([1, 0.5, 0.4, 1], 2, 2), 'f'], 'not symmetric'],
      [[mu, array([1, 0, 0, -1], 2, 2), 'f'], 'negative variance in row 1'],
      [[mu, array([1, 0, 0, 1], 2, 2), 'f', -3], 'of how many images'],
    ];
    for (const [given, words] of cases) expect(() => statisticsFrom(...given)).toThrow(invalid(words));
  });
});

describe('parseNpy', () => {
  it('reads float32 and float64, and says what it does not read', () => {
    expect(parseNpy(numpyFile('float32'), 'f')).toEqual(array([1.5, -2], 1, 2));
    expect(() => parseNpy(numpyFile('integers'), 'f')).toThrow(invalid('f holds <i8; float32 and float64 are read'));
    expect(() => parseNpy(numpyFile('fortran'), 'f')).toThrow(invalid('Fortran order'));
    expect(() => parseNpy(new TextEncoder().encode('no array at all'), 'f')).toThrow(invalid('no array of NumPy'));
    expect(() => parseNpy(numpyFile('float32').subarray(0, -1), 'f')).toThrow(invalid('is torn'));
  });

  it('answers any bytes with an array or a coded sentence', () => {
    const whole = numpyFile('float32');
    fc.assert(
      fc.property(fc.nat(whole.length), fc.nat(whole.length - 1), fc.nat(255), (end, at, value) => {
        const bytes = whole.slice(0, end);
        if (at < end) bytes[at] = value;
        try {
          parseNpy(bytes, 'f');
        } catch (error) {
          expect(error).toMatchObject({ code: 'THAW_FEATURES_INVALID' });
        }
      }),
      { numRuns: 300, seed: 1 },
    );
  });
});
