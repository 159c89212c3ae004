import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { diagnoseModel, levelSizes, modelText } from './doctor-model.js';

const file = fileURLToPath(new URL('../../examples/mnist-demo.yaml', import.meta.url));
const seconds = 600;

describe('thaw doctor --model', () => {
  it('runs the step in a process of its own and reports what it takes', async () => {
    const model = await diagnoseModel({ file, seconds, greatest: 2, limitBytes: 2 ** 40 });
    expect(model).toMatchObject({ run: 'mnist-demo', microBatch: 4, largestMicroBatch: 2 });
    const arrays = Object.values(model.bytes).reduce((sum, bytes) => sum + bytes, 0);
    expect(model.searches.map(({ recompute }) => recompute)).toEqual(['none', 'all']);
    for (const { largestMicroBatch, complete, trials } of model.searches) {
      expect({ largestMicroBatch, complete, trials: trials.length }).toEqual({
        largestMicroBatch: 2,
        complete: true,
        trials: 1,
      });
      expect(trials[0]!.fits).toBe(true);
      // More than the arrays alone, less than a hundred times as much.
      expect(trials[0]!.peakBytes).toBeGreaterThan(arrays);
      expect(trials[0]!.peakBytes).toBeLessThan(100 * arrays);
    }
    expect(modelText(model)).toContain(`${model.parameters} parameters`);
    expect(modelText(model)).toMatch(/recompute all: 2; the run's, 4, does not fit/);
  }, 60_000);

  it('stops a trial that takes more than there is', async () => {
    const model = await diagnoseModel({ file, seconds, greatest: 64, limitBytes: 32 * 2 ** 20, recompute: ['0'] });
    const trials = [{ microBatch: 2, peakBytes: undefined, fits: false, note: 'stopped above the limit' }];
    expect(model.searches).toEqual([{ recompute: '0', largestMicroBatch: 0, complete: true, trials }]);
    expect(modelText(model)).toContain('not even 2 fits');
  }, 60_000);

  it('refuses a run file that is none before anything runs', async () => {
    await expect(diagnoseModel({ file: `${file}.missing`, seconds, greatest: 2 })).rejects.toMatchObject({
      code: 'THAW_CONFIG_INVALID',
    });
  });

  it('knows the levels of the official network', () => {
    const network = { kind: 'convnext-unet', dim: 64, mults: [1, 2, 4, 8] } as Parameters<
      typeof levelSizes
    >[0]['network'];
    const data = { size: 128 } as Parameters<typeof levelSizes>[0]['data'];
    const levels = levelSizes({ network, data });
    expect(levels.map(({ height, channels }) => [height, channels])).toEqual([
      [128, 64],
      [64, 128],
      [32, 256],
      [16, 512],
    ]);
    expect(levels[0]!.bytesPerImage).toBe(4 * 128 * 128 * 64);
  });
});
