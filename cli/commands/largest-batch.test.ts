import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { searchLargestBatch, type Trial } from './largest-batch.js';

const never = (): boolean => false;
const memory =
  (base: number, perImage: number, limitBytes: number, asked: number[] = []) =>
  (microBatch: number): Promise<Trial> => {
    asked.push(microBatch);
    const peakBytes = base + perImage * microBatch;
    return Promise.resolve({ microBatch, peakBytes, fits: peakBytes <= limitBytes });
  };

describe('the search for the largest micro-batch', () => {
  it('finds it, with few trials, and never runs what is far above the limit once two are known', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 500 }),
        fc.integer({ min: 1, max: 50 }),
        fc.integer({ min: 1, max: 5000 }),
        fc.integer({ min: 2, max: 300 }),
        async (base, perImage, limitBytes, greatest) => {
          const asked: number[] = [];
          const measure = memory(base, perImage, limitBytes, asked);
          const { largest, complete } = await searchLargestBatch({
            smallest: 2,
            greatest,
            limitBytes,
            measure,
            timeIsUp: never,
          });
          const exact = Math.min(greatest, Math.floor((limitBytes - base) / perImage));
          expect(largest).toBe(exact < 2 ? 0 : exact);
          expect(complete).toBe(true);
          expect(asked.length).toBeLessThanOrEqual(20);
          for (const batch of asked.slice(2))
            expect(base + perImage * batch).toBeLessThanOrEqual(1.26 * limitBytes + perImage);
        },
      ),
      { seed: 1, numRuns: 200 },
    );
  });

  it('stops when the time is up, and says that it has not found the end', async () => {
    let trials = 0;
    const measure = memory(0, 1, 1e9);
    const found = await searchLargestBatch({
      smallest: 2,
      greatest: 1024,
      limitBytes: 1e9,
      measure: (batch) => {
        trials++;
        return measure(batch);
      },
      timeIsUp: () => trials === 3,
    });
    expect(found).toMatchObject({ largest: 8, complete: false });
    expect(found.trials.map(({ microBatch }) => microBatch)).toEqual([2, 4, 8]);
  });
});
