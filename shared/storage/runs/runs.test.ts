import { expect, test } from 'vitest';
import { RunConfigSchema, type RunConfig } from '../../protocol/index.js';
import { MemoryStore } from '../store/index.js';
import { createRun, loadRun } from './index.js';

const config = (changes: Partial<RunConfig> = {}): RunConfig =>
  RunConfigSchema.parse({
    format: 'thaw.run/1',
    name: 'trial',
    seed: 1,
    data: { dataset: 'mnist', size: 32, channels: 1 },
    degradation: { family: 'blur', steps: 8, routine: 'Constant', kernelSize: 11, kernelStd: 1 },
    network: { kind: 'convnext-unet', dim: 16, mults: [1, 2, 4] },
    optimizer: { learningRate: 0.001 },
    batch: { global: 16, micro: 4 },
    steps: 100,
    ...changes,
  });

test('a run is stored once; the same run may be given a further target', async () => {
  const store = new MemoryStore();
  const first = await createRun(store, config());
  const again = await createRun(store, config({ steps: 300 }));
  expect(first.targetSteps).toBe(100);
  expect(again).toMatchObject({ targetSteps: 300, configSha256: first.configSha256, config: { steps: 100 } });
  expect(await loadRun(store, 'trial')).toEqual(again);
});

test('another configuration under the same name is refused and changes nothing', async () => {
  const store = new MemoryStore();
  await createRun(store, config());
  await expect(createRun(store, config({ seed: 2, steps: 900 }))).rejects.toMatchObject({
    code: 'THAW_RUN_CONFLICT',
    message: 'The run "trial" is in the store already, with another configuration: seed is 1 there and 2 here.',
  });
  const snow = { family: 'snow', steps: 8, level: 3 } as RunConfig['degradation'];
  await expect(createRun(store, config({ degradation: snow }))).rejects.toThrow(
    'degradation.family is "blur" there and "snow" here',
  );
  expect((await loadRun(store, 'trial')).targetSteps).toBe(100);
  await expect(loadRun(store, 'other')).rejects.toMatchObject({ code: 'THAW_RUN_NOT_FOUND' });
});
