/** Bad input, one line each: the code, and a sentence that names the field and what is allowed, before anything is written. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { packDataset, type ImageSource } from '@thaw/shared/data';
import { networkWeightSpecs, sizeOf } from '@thaw/shared/model';
import { RunConfigSchema, ThawError } from '@thaw/shared/protocol';
import { encodeSafetensors, openStore, type ObjectStore, type Tensor } from '@thaw/shared/storage';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { jobSpec, parseJobRequest } from '../../services/sampler/jobs/index.js';
import { generationFrom } from '../../services/sampler/service/generation.js';
import { tensorImage } from '../../services/sampler/service/tensor-image.js';
import { createRunFromFile } from './create-run.js';
import { fitPrior } from './fit-prior.js';
import { importWeights } from './import.js';
import { prepareLocalRun } from './local-run.js';
import { readRunFile } from './run-file.js';

const good = {
  format: 'thaw.run/1',
  name: 'present',
  seed: 1,
  data: { dataset: 'colour', size: 16, channels: 3 },
  degradation: { family: 'blur', steps: 4, routine: 'Constant', kernelSize: 5, kernelStd: 1 },
  network: { kind: 'convnext-unet', dim: 8, mults: [1, 2] },
  optimizer: { learningRate: 0.001 },
  batch: { global: 4, micro: 2 },
  steps: 10,
};
const blur = good.degradation;

let folder: string;
let storeUrl: string;
let store: ObjectStore;
let count = 0;
const write = (name: string, content: string | Uint8Array): string => {
  const file = join(folder, `${count++}-${name}`);
  writeFileSync(file, content);
  return file;
};
const runFile = (changes: object): string => write('run.yaml', stringify({ ...good, ...changes }));
const create = (changes: object) => () => createRunFromFile(storeUrl, runFile(changes), {});

const source = (channels: 1 | 3): ImageSource => ({
  identity: `${channels}`,
  count: 4,
  async *items() {
    const pixels = new Uint8Array(256 * channels);
    for (let i = 0; i < 4; i++) yield { kind: 'image', name: `${i}`, width: 16, height: 16, channels, pixels };
  },
});

/** All weights of the run's network, with one of them changed. */
function weightsFile(value: number): string {
  const { network, data } = RunConfigSchema.parse(good);
  const tensors = Object.entries(networkWeightSpecs(network, data)).map(([name, { officialShape }]) => {
    const tensor: Tensor = { dtype: 'F32', shape: officialShape, data: new Float32Array(sizeOf(officialShape)) };
    if (name === 'final_conv.1.bias') tensor.data[1] = value;
    return [name, tensor];
  });
  return write('weights.safetensors', encodeSafetensors(Object.fromEntries(tensors)));
}

const imageFile = (shape: number[], data: Float32Array | Uint8Array, name = 'image'): Uint8Array =>
  encodeSafetensors({
    [name]: { dtype: data instanceof Float32Array ? 'F32' : 'U8', shape, data: data as Tensor['data'] },
  });
const taken = { height: 2, width: 2, channels: 3 };
const withValue = (value: number): Float32Array => new Float32Array(12).fill(value, 7, 8);
const version = { run: 'present', step: 1, manifestSha256: 'a'.repeat(64) };
const acceptance = { id: '0'.repeat(32), nowMs: 0, version, steps: 4, dataset: 'colour', testCount: 4 };

const quiet = { update: () => undefined, say: () => undefined, end: () => undefined };

const cases: readonly [what: string, attempt: () => unknown, code: string, ...words: string[]][] = [
  [
    'a size that the network cannot halve',
    create({ data: { ...good.data, size: 18 }, network: { ...good.network, mults: [1, 2, 4] } }),
    'THAW_CONFIG_INVALID',
    'data.size: must be divisible by 4',
  ],
  ['T = 0', create({ degradation: { ...blur, steps: 0 } }), 'THAW_CONFIG_INVALID', 'degradation.steps:', '>=1'],
  [
    'an even kernel',
    create({ degradation: { ...blur, kernelSize: 4 } }),
    'THAW_CONFIG_INVALID',
    'kernelSize: must be odd, from 1 to 255',
  ],
  [
    'a kernel larger than the image',
    create({ degradation: { ...blur, kernelSize: 35 } }),
    'THAW_CONFIG_INVALID',
    'degradation.kernelSize: a window of 35 taps',
    'use at most 33',
  ],
  [
    'a reflected kernel larger than the image',
    create({ degradation: { ...blur, routine: 'Constant_reflect', kernelSize: 33 } }),
    'THAW_CONFIG_INVALID',
    'use at most 31',
  ],
  [
    'more halvings than the image has',
    create({ degradation: { family: 'super-resolution', steps: 5, routine: 'Incremental_factor_2' } }),
    'THAW_CONFIG_INVALID',
    'degradation.steps: 5 steps',
    'use at most 4 steps',
  ],
  [
    'an unknown routine',
    create({ degradation: { ...blur, routine: 'Quadratic' } }),
    'THAW_CONFIG_INVALID',
    'degradation.routine:',
    '"Incremental"',
    '"Exponential_reflect"',
  ],
  [
    'an unknown family',
    create({ degradation: { family: 'fire', steps: 4 } }),
    'THAW_CONFIG_INVALID',
    'degradation.family:',
    "'super-resolution'",
    "'animorphosis'",
  ],
  [
    'an unknown training routine',
    create({ trainRoutine: 'Backwards' }),
    'THAW_CONFIG_INVALID',
    'trainRoutine:',
    '"Final"',
    '"Step_Gradient"',
  ],
  [
    'a field that does not exist',
    create({ degradation: { ...blur, kernel: 3 } }),
    'THAW_CONFIG_INVALID',
    'degradation: Unrecognized key: "kernel"',
  ],
  [
    'grey images for decolorization',
    create({
      data: { ...good.data, channels: 1 },
      degradation: { family: 'decolorization', steps: 4, routine: 'Linear' },
    }),
    'THAW_CONFIG_INVALID',
    'degradation.family: decolorization needs colour images, data.channels is 1',
  ],
  [
    'a grey data set where colour is asked for',
    create({ name: 'other', data: { ...good.data, dataset: 'grey' } }),
    'THAW_DATA_INVALID',
    'data.dataset: the images of "grey" are grey (1 channel), data.channels asks for 3',
  ],
  [
    'a data set of smaller images',
    create({ name: 'other', data: { ...good.data, size: 32 } }),
    'THAW_DATA_INVALID',
    'data.size 32 cannot be cut',
  ],
  [
    'another degradation than the run was created with',
    create({ degradation: { ...blur, steps: 8 } }),
    'THAW_RUN_CONFLICT',
    'degradation.steps is 4 there and 8 here',
  ],
  [
    'weights for another degradation of a run that is there',
    () =>
      importWeights({
        storeUrl,
        file: weightsFile(0),
        run: readRunFile(runFile({ degradation: { family: 'noise', steps: 4 } })),
        nowMs: 0,
      }),
    'THAW_RUN_CONFLICT',
    'degradation.family is "blur" there and "noise" here',
  ],
  [
    'NaN among imported weights',
    () => importWeights({ storeUrl, file: weightsFile(NaN), run: readRunFile(runFile({ name: 'other' })), nowMs: 0 }),
    'THAW_WEIGHTS_INVALID',
    'final_conv.1.bias holds values that are no numbers',
  ],
  [
    'a severity beyond T for a prior',
    () => fitPrior({ storeUrl, run: 'present', clusters: 1, seed: 0, edge: 1, severity: 5 }),
    'THAW_REQUEST_INVALID',
    'severity: 5 is not an integer in 1..4',
  ],
  [
    'more clusters than images for a prior',
    () => fitPrior({ storeUrl, run: 'present', clusters: 5, seed: 0, edge: 1 }),
    'THAW_REQUEST_INVALID',
    'clusters: 5 cannot be fitted to the 4 training images of colour; there may be 1 to 4',
  ],
  [
    'colour asked of MNIST, before it is packed',
    () => prepareLocalRun(runFile({ data: { ...good.data, dataset: 'mnist' } }), folder, {}, quiet),
    'THAW_DATA_INVALID',
    'data.dataset: the images of "mnist" are grey (1 channel), data.channels asks for 3',
  ],
  [
    'a severity beyond T for a job',
    () => jobSpec(parseJobRequest({ severity: 5 }), acceptance),
    'THAW_SAMPLING_INVALID',
    'severity: 5 was asked for; the model has severities 1 to 4',
  ],
  [
    'more calls than severities',
    () => jobSpec(parseJobRequest({ calls: 5 }), acceptance),
    'THAW_SAMPLING_INVALID',
    'calls: 5 severities were asked for, the model has 4',
  ],
  ['severity 0', () => parseJobRequest({ severity: 0 }), 'THAW_JOB_INVALID', 'severity:', '>=1'],
  ['an unknown sampler', () => parseJobRequest({ sampler: 'magic' }), 'THAW_JOB_INVALID', 'sampler:', '"algorithm2"'],
  [
    'generation without a prior',
    () =>
      generationFrom(
        {},
        { shape: taken, steps: 4, version, generationStart: () => ({ from: 'prior', noise: 0.002 }) },
        {
          priorOf: async () => undefined,
        },
      ),
    'THAW_PRIOR_MISSING',
    'The run present has no generation prior',
  ],
  [
    'NaN in an image tensor',
    () => tensorImage(imageFile([2, 2, 3], withValue(NaN)), taken),
    'THAW_IMAGE_INVALID',
    'image: the tensor "image" holds NaN at position 7; all values must be finite',
  ],
  [
    'infinity in an image tensor',
    () => tensorImage(imageFile([2, 2, 3], withValue(-Infinity)), taken),
    'THAW_IMAGE_INVALID',
    'holds -Infinity',
  ],
  [
    'an image tensor far out of range',
    () => tensorImage(imageFile([2, 2, 3], withValue(255)), taken),
    'THAW_IMAGE_INVALID',
    'values may be -16 to 16',
  ],
  [
    'a grey image tensor where colour is asked for',
    () => tensorImage(imageFile([2, 2, 1], new Float32Array(4)), taken),
    'THAW_IMAGE_INVALID',
    'is [2, 2, 1]; the model takes [2, 2, 3], in colour',
  ],
  [
    'bytes where float32 is asked for',
    () => tensorImage(imageFile([2, 2, 3], new Uint8Array(12)), taken),
    'THAW_IMAGE_INVALID',
    'is U8, not F32',
  ],
  [
    'a file of several tensors',
    () =>
      tensorImage(
        encodeSafetensors(
          Object.fromEntries(['x', 'y'].map((name) => [name, { dtype: 'F32', shape: [1], data: new Float32Array(1) }])),
        ),
        taken,
      ),
    'THAW_IMAGE_INVALID',
    'holds 2 tensors, none of them called "image"',
  ],
];

const keys = async (): Promise<string[]> => {
  const all: string[] = [];
  for await (const { key } of store.list('')) all.push(key);
  return all.sort();
};

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'thaw-bad-input-'));
  storeUrl = pathToFileURL(join(folder, 'store')).href;
  store = await openStore(storeUrl);
  for (const [name, channels] of [['colour', 3] as const, ['grey', 1] as const])
    await packDataset(store, { train: source(channels) }, { name, preprocessing: { method: 'none' } });
  await createRunFromFile(storeUrl, runFile({}), {});
});
afterAll(() => rmSync(folder, { recursive: true }));

it.each(cases)('%s', async (_, attempt, code, ...words) => {
  const before = await keys();
  const error = await Promise.resolve()
    .then(attempt)
    .then(
      () => undefined,
      (refusal: unknown) => refusal,
    );
  expect(error).toBeInstanceOf(ThawError);
  const { code: got, message, cure } = error as ThawError;
  expect(got).toBe(code);
  for (const word of words) expect(message).toContain(word);
  expect(cure.length).toBeGreaterThan(10);
  expect(await keys()).toEqual(before);
});

it('what is exact in the tensor is exact in the job', () => {
  const values = Float32Array.from({ length: 12 }, (_, i) => i / 7 - 0.8);
  expect(tensorImage(imageFile([2, 2, 3], values, 'degraded'), taken).values).toEqual(values);
});
