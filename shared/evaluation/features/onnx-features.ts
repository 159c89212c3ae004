/** Features of any ONNX network, run by ONNX Runtime. */
import { createHash } from 'node:crypto';
import ort from 'onnxruntime-node';
import { fieldProblems, ThawError } from '@thaw/shared/protocol';
import { z } from 'zod';
import type { ImageShape } from '../estimates.js';
import type { FeatureExtractor } from './extractor.js';
import { resizeBilinear } from './resize-bilinear.js';

/** How a network wants its images: the file beside it (`net.json` for `net.onnx`), and what each field is unless given. */
export const OnnxFeaturesSchema = z.strictObject({
  /** Of the network; the metric becomes `frechet-<name>`. */
  name: z
    .string()
    .regex(/^[a-z0-9]+(-[a-z0-9]+)*$/, 'lower-case letters, digits and single hyphens')
    .max(40)
    .default('onnx'),
  /** True only for the standard Inception weights of FID: the metric is called `fid`. */
  fid: z.boolean().default(false),
  /** Tensor names; the only one unless given. */
  input: z.string().optional(),
  output: z.string().optional(),
  layout: z.enum(['NCHW', 'NHWC']).default('NCHW'),
  /** Grey images are repeated to 3 channels. */
  channels: z.union([z.literal(1), z.literal(3)]).default(3),
  /** Edge to which images are resized (bilinear); as they are unless given. */
  size: z.int().min(1).max(4096).optional(),
  /** Values of black and white. */
  range: z.tuple([z.number(), z.number()]).default([0, 1]),
  /** Images in a call. */
  batch: z.int().min(1).max(1024).default(50),
});
export type OnnxFeaturesOptions = z.infer<typeof OnnxFeaturesSchema>;

const invalid = (problem: string, cure?: string): ThawError =>
  new ThawError('THAW_FEATURES_INVALID', problem, cure === undefined ? {} : { cure });

/** @throws ThawError THAW_FEATURES_INVALID listing what cannot be used */
export function parseOnnxFeatures(json: unknown, file: string): OnnxFeaturesOptions {
  const parsed = OnnxFeaturesSchema.safeParse(json);
  if (!parsed.success)
    throw invalid(`${file} does not describe a network: ${fieldProblems(parsed.error, '(file)').join('; ')}.`);
  return parsed.data;
}

const shapeText = (shape: readonly (number | string)[]): string => `[${shape.join(', ')}]`;

/**
 * Loads a network and tries it on one grey image of `shape`, so that whatever does not fit is said before any work.
 * @param threads of ONNX Runtime
 * @throws ThawError THAW_FEATURES_INVALID
 */
export async function openOnnxFeatures(
  onnx: Uint8Array,
  options: OnnxFeaturesOptions,
  shape: ImageShape,
  threads = 1,
): Promise<FeatureExtractor> {
  const { layout, size, channels, range } = options;
  if (shape.channels > channels)
    throw invalid(`channels: the network takes grey images, these have ${shape.channels} channels.`);
  if (size === undefined && shape.height !== shape.width)
    throw invalid(`size: images of ${shape.width} x ${shape.height} need an edge to be resized to.`);
  const session = await load(onnx, threads);
  const input = nameOf('input', options.input, session.inputNames);
  const output = nameOf('output', options.output, session.outputNames);
  const edge = size ?? shape.height;
  const expected = layout === 'NCHW' ? [channels, edge, edge] : [edge, edge, channels];
  const batch = checkedBatch(session, input, expected, options);

  const call = async (images: readonly Float32Array[]): Promise<{ data: Float32Array; dimensions: number }> => {
    const data = new Float32Array(batch * edge * edge * channels);
    images.forEach((image, i) => place(data, i * edge * edge * channels, image));
    let result: ort.Tensor | undefined;
    try {
      result = (await session.run({ [input]: new ort.Tensor('float32', data, [batch, ...expected]) }, [output]))[
        output
      ];
    } catch (cause) {
      throw invalid(`The network of features could not compute: ${sentence(cause)}`);
    }
    return { data: result!.data as Float32Array, dimensions: vectorLength(result!, batch, output) };
  };

  /** [H, W, C] in [-1, 1] to the network's size, channels, layout and range. */
  function place(target: Float32Array, at: number, image: Float32Array): void {
    const resized = resizeBilinear(image, shape, edge);
    const [low, high] = range;
    const pixels = edge * edge;
    for (let p = 0; p < pixels; p++)
      for (let c = 0; c < channels; c++) {
        const value = resized[p * shape.channels + (shape.channels === 1 ? 0 : c)]!;
        target[at + (layout === 'NCHW' ? c * pixels + p : p * channels + c)] = low + ((value + 1) / 2) * (high - low);
      }
  }

  const { dimensions } = await call([new Float32Array(shape.height * shape.width * shape.channels)]);
  return {
    metric: options.fid ? 'fid' : `frechet-${options.name}`,
    title: options.fid
      ? `FID: Frechet distance on features of the standard Inception network (${options.name})`
      : `Frechet distance on features of the network ${options.name}`,
    sha256: createHash('sha256').update(onnx).digest('hex'),
    dimensions,
    async extract(images) {
      const features = new Float32Array(images.length * dimensions);
      for (let first = 0; first < images.length; first += batch) {
        const part = images.slice(first, first + batch);
        const { data } = await call(part);
        features.set(data.subarray(0, part.length * dimensions), first * dimensions);
      }
      return checkedFeatures(features, dimensions);
    },
  };
}

/** @throws ThawError THAW_FEATURES_INVALID naming the first image whose features are no numbers */
export function checkedFeatures(features: Float32Array, dimensions: number): Float32Array {
  const wrong = features.findIndex((value) => !Number.isFinite(value));
  if (wrong >= 0)
    throw invalid(
      `The network of features gives ${features[wrong]} for feature ${wrong % dimensions} of image ${Math.floor(wrong / dimensions)} of a call.`,
      'Check the range of values that the network wants, and that no image holds NaN.',
    );
  return features;
}

async function load(onnx: Uint8Array, threads: number): Promise<ort.InferenceSession> {
  try {
    return await ort.InferenceSession.create(onnx, {
      executionProviders: ['cpu'],
      intraOpNumThreads: threads,
      logSeverityLevel: 4,
    });
  } catch (cause) {
    throw invalid(`The network of features is no ONNX file that ONNX Runtime can run: ${sentence(cause)}`);
  }
}

function nameOf(field: 'input' | 'output', asked: string | undefined, names: readonly string[]): string {
  if (asked !== undefined && !names.includes(asked))
    throw invalid(`${field}: the network has no ${field} "${asked}"; it has ${names.join(', ')}.`);
  if (asked === undefined && names.length !== 1)
    throw invalid(`${field}: the network has ${names.length}: ${names.join(', ')}. Say which one.`);
  return asked ?? names[0]!;
}

/** The batch size of a call, once the declared input fits the images. */
function checkedBatch(
  session: ort.InferenceSession,
  input: string,
  expected: readonly number[],
  options: OnnxFeaturesOptions,
): number {
  const declared = session.inputMetadata.find(({ name }) => name === input);
  if (declared === undefined || !declared.isTensor || declared.type !== 'float32')
    throw invalid(`input: "${input}" of the network is no float32 tensor.`);
  const [first, ...rest] = declared.shape;
  const fits = rest.length === 3 && rest.every((extent, i) => typeof extent === 'string' || extent === expected[i]);
  if (!fits)
    throw invalid(
      `input: the network takes ${shapeText(declared.shape)}; images are [${options.batch}, ${expected.join(', ')}] (${options.layout}).`,
      'Set layout, channels and size as the network wants them, in the JSON file beside it.',
    );
  return typeof first === 'number' ? first : options.batch;
}

/** [batch, n], or with further axes of length 1, as a pooling layer leaves them. */
function vectorLength(result: ort.Tensor, batch: number, output: string): number {
  const [rows, length, ...rest] = result.dims;
  if (result.type !== 'float32' || rows !== batch || length === undefined || rest.some((extent) => extent !== 1))
    throw invalid(
      `output: "${output}" is ${result.type} ${shapeText(result.dims)} for ${batch} images; a vector for each is wanted, float32 [${batch}, n].`,
      'Name an output after the pooling, or export the network up to there.',
    );
  return length;
}

const sentence = (thrown: unknown): string => (thrown instanceof Error ? thrown.message : String(thrown));
