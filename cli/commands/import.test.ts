import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packDataset } from '@thaw/shared/data';
import { initialWeights, networkWeightSpecs, toOfficial } from '@thaw/shared/model';
import { RunConfigSchema, ThawError } from '@thaw/shared/protocol';
import {
  decodeSafetensors,
  encodeSafetensors,
  loadCheckpoint,
  openStore,
  priorOf,
  readManifest,
  storePrior,
  type Tensor,
} from '@thaw/shared/storage';
import { exportWeights } from './export.js';
import { importWeights, officialWeights } from './import.js';

const run = RunConfigSchema.parse({
  format: 'thaw.run/1',
  name: 'taken-over',
  seed: 1,
  data: { dataset: 'grey', size: 8, channels: 1 },
  degradation: { family: 'blur', steps: 4, routine: 'Constant', kernelSize: 3, kernelStd: 1 },
  network: { kind: 'convnext-unet', dim: 8, mults: [1, 2] },
  optimizer: { learningRate: 1e-3 },
  batch: { global: 4, micro: 2 },
  steps: 10,
});
const specs = networkWeightSpecs(run.network, run.data);
const initial = initialWeights(run.network, run.data, 11);
const official: Record<string, Tensor> = Object.fromEntries(
  Object.entries(specs).map(([name, spec]) => [
    name,
    { dtype: 'F32', shape: [...spec.officialShape], data: toOfficial(spec, initial[name]!) },
  ]),
);

const refused = async (work: () => unknown): Promise<string> => {
  try {
    await work();
  } catch (error) {
    if (error instanceof ThawError) return `${error.code}: ${error.message}`;
    throw error;
  }
  return 'nothing was refused';
};

let folder: string;
let storeUrl: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'thaw-import-'));
  storeUrl = pathToFileURL(join(folder, 'store')).href;
  const pixels = new Uint8Array(64).fill(100);
  const grey = {
    identity: 'grey',
    count: 4,
    async *items() {
      for (let i = 0; i < 4; i++)
        yield { kind: 'image', name: `${i}`, width: 8, height: 8, channels: 1, pixels } as const;
    },
  };
  await packDataset(
    await openStore(storeUrl),
    { train: grey, test: grey },
    { name: 'grey', preprocessing: { method: 'none' }, shardBytes: 1 << 20 },
  );
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('thaw import', () => {
  const write = (name: string, tensors: Record<string, Tensor>): string => {
    const file = join(folder, name);
    writeFileSync(file, encodeSafetensors(tensors));
    return file;
  };

  it('takes back what export wrote, bit for bit, and says where the weights come from', async () => {
    const file = write('official.safetensors', official);
    const imported = await importWeights({ storeUrl, file, run, nowMs: 5 });
    const store = await openStore(storeUrl);
    const { manifest } = await readManifest(store, run.name, 0);
    expect(manifest.imported?.fileSha256).toMatch(/^[0-9a-f]{64}$/);
    for (const group of ['weights', 'ema'] as const) {
      const out = join(folder, `${group}.safetensors`);
      const exported = await exportWeights({ storeUrl, run: run.name, group, out });
      expect(exported).toMatchObject({ step: 0, sha256: imported.sha256, tensors: Object.keys(specs).length });
      const again = officialWeights(new Uint8Array(readFileSync(out)), run);
      expect(Object.keys(again)).toEqual(Object.keys(official));
      for (const [name, { data }] of Object.entries(again))
        expect(Buffer.from(data.buffer, data.byteOffset, data.byteLength)).toEqual(
          Buffer.from((official[name]!.data as Float32Array).buffer),
        );
      // Importing the export once more is the same checkpoint content under another name.
      const second = await importWeights({ storeUrl, file: out, run: { ...run, name: `again-${group}` }, nowMs: 6 });
      expect(second.sha256).toBe(imported.sha256);
    }
    const { state } = await loadCheckpoint(store, run.name, 0);
    expect(Object.keys(state.tensors)).toHaveLength(5 * Object.keys(specs).length);
    expect((state.tensors['adam.v/final_conv.1.weight']!.data as Float32Array).every((v) => v === 0)).toBe(true);
  });

  it('takes the prior of a checkpoint along, the same bytes, and refuses one of other images', async () => {
    const store = await openStore(storeUrl);
    const named = (name: string) => ({ ...run, name });
    await importWeights({
      storeUrl,
      file: write('official.safetensors', official),
      run: named('with-prior'),
      nowMs: 5,
    });
    const prior = {
      ...{ format: 'thaw.prior/1', run: 'with-prior', severity: 4, edge: 2, images: 4, seed: 0, iterations: 1 },
      ...{ dataset: { name: 'grey', sha256: 'd'.repeat(64) }, logLikelihood: 0.5 },
      mixture: {
        weights: [1],
        means: [[0.1, 0.2, 0.3, 0.4]],
        covariances: [[0, 1, 2, 3].map((i) => [0, 1, 2, 3].map((j) => (i === j ? 1 : 0)))],
      },
    } as const;
    const { sha256 } = await storePrior(store, 'with-prior', prior as never);
    const out = join(folder, 'with-prior.safetensors');
    expect(await exportWeights({ storeUrl, run: 'with-prior', group: 'ema', out })).toMatchObject({ prior: sha256 });
    const imported = await importWeights({ storeUrl, file: out, run: named('taken-along'), nowMs: 6 });
    expect(imported.prior).toBe(sha256);
    const { manifestSha256 } = imported;
    expect((await priorOf(store, { run: 'taken-along', step: 0, manifestSha256 }))!.prior).toEqual(prior);
    // Once more with another network: the file travels on.
    const again = join(folder, 'again.safetensors');
    expect(await exportWeights({ storeUrl, run: 'taken-along', group: 'weights', out: again })).toMatchObject({
      prior: sha256,
    });
    const { metadata } = decodeSafetensors(new Uint8Array(readFileSync(again)));
    const attempt = (changes: object, name: string, otherTask = false): Promise<string> =>
      refused(() =>
        importWeights({
          storeUrl,
          file: again,
          run: { ...named(name), ...changes } as typeof run,
          otherTask,
          nowMs: 0,
        }),
      );
    const milder = { degradation: { ...run.degradation, steps: 3 } };
    expect(await attempt(milder, 'never', true)).toMatch(
      /^THAW_PRIOR_INVALID: .*at severity 4; run never has images of 8 x 8 x 1 and severities 1 to 3/,
    );
    expect(await attempt(milder, 'never')).toBe(
      'THAW_WEIGHTS_INVALID: The weights were trained for something else than run never: degradation.steps is 4 there and 3 here.',
    );
    expect(await attempt({ trainRoutine: 'Step' }, 'never')).toContain('trainRoutine is "Final" there and "Step" here');
    writeFileSync(again, encodeSafetensors(official, { ...metadata, prior: '{}' }));
    expect(await attempt({}, 'never')).toContain(
      'THAW_PRIOR_INVALID: The prior in the metadata of the file is not as it should be',
    );
    expect(await store.head('runs/never/run.json')).toBeUndefined();
    // Where generation starts from something else it is of no use.
    expect(await attempt({ degradation: { family: 'noise', steps: 3 } }, 'hot', true)).toBe('nothing was refused');
  });

  it('and of the other network, with and without time', async () => {
    for (const timeEmbedding of [true, false]) {
      const network = { kind: 'ddpm-unet', dim: 32, mults: [1, 2], blocks: 1, attentionSizes: [4], dropout: 0.1 };
      const ddpm = RunConfigSchema.parse({
        ...run,
        name: `ddpm-${timeEmbedding}`,
        network: { ...network, timeEmbedding },
      });
      const weights = initialWeights(ddpm.network, ddpm.data, 12);
      const tensors = Object.fromEntries(
        Object.entries(networkWeightSpecs(ddpm.network, ddpm.data)).map(([name, spec]): [string, Tensor] => [
          name,
          { dtype: 'F32', shape: [...spec.officialShape], data: toOfficial(spec, weights[name]!) },
        ]),
      );
      const imported = await importWeights({ storeUrl, file: write('ddpm.safetensors', tensors), run: ddpm, nowMs: 5 });
      const out = join(folder, 'ddpm-out.safetensors');
      expect(await exportWeights({ storeUrl, run: ddpm.name, group: 'ema', out })).toMatchObject({
        sha256: imported.sha256,
      });
      const again = officialWeights(new Uint8Array(readFileSync(out)), ddpm);
      for (const [name, { data }] of Object.entries(again)) expect(data).toEqual(tensors[name]!.data);
    }
  });

  it('names what does not fit, and writes nothing then', async () => {
    const { 'final_conv.1.bias': bias, ...rest } = official;
    const attempt = (tensors: Record<string, Tensor>, name = 'never') =>
      refused(() =>
        importWeights({ storeUrl, file: write('bad.safetensors', tensors), run: { ...run, name }, nowMs: 0 }),
      );
    expect(await attempt(rest)).toBe(
      `THAW_WEIGHTS_INVALID: The tensors do not fit the network of run never (convnext-unet): 1 of ${Object.keys(specs).length} are missing (final_conv.1.bias).`,
    );
    expect(await attempt({ ...official, 'module.x': bias! })).toContain('1 belong to no parameter (module.x)');
    expect(
      await attempt({ ...official, 'final_conv.1.bias': { dtype: 'F32', shape: [1, 1], data: new Float32Array(1) } }),
    ).toContain('final_conv.1.bias is [1, 1], not [1]');
    expect(
      await attempt({ ...official, 'final_conv.1.bias': { dtype: 'I32', shape: [1], data: new Int32Array(1) } }),
    ).toContain('final_conv.1.bias is I32, not F32');
    expect(
      await attempt({ ...official, 'final_conv.1.bias': { dtype: 'F32', shape: [1], data: Float32Array.of(NaN) } }),
    ).toContain('holds values that are no numbers');
    writeFileSync(join(folder, 'junk'), 'junk');
    expect(
      await refused(() =>
        importWeights({ storeUrl, file: join(folder, 'junk'), run: { ...run, name: 'never' }, nowMs: 0 }),
      ),
    ).toContain('THAW_SAFETENSORS_INVALID');
    expect(await refused(() => importWeights({ storeUrl, file: join(folder, 'none'), run, nowMs: 0 }))).toContain(
      'cannot be read',
    );
    expect(await (await openStore(storeUrl)).head('runs/never/run.json')).toBeUndefined();
    const elsewhere = { ...run, name: 'never', data: { ...run.data, dataset: 'absent' } };
    expect(
      await refused(() =>
        importWeights({ storeUrl, file: write('ok.safetensors', official), run: elsewhere, nowMs: 0 }),
      ),
    ).toContain('THAW_DATASET_NOT_FOUND');
  });

  it('does not replace weights that are there', async () => {
    const other = {
      ...official,
      'final_conv.1.bias': { dtype: 'F32', shape: [1], data: Float32Array.of(9) } as Tensor,
    };
    const file = write('other.safetensors', other);
    expect(await refused(() => importWeights({ storeUrl, file, run, nowMs: 0 }))).toContain('THAW_CHECKPOINT_CONFLICT');
    const renamed = { ...run, seed: 2 };
    expect(await refused(() => importWeights({ storeUrl, file, run: renamed, nowMs: 0 }))).toContain(
      'THAW_RUN_CONFLICT',
    );
  });
});
