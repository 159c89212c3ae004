/**
 * One estimate as a file: safetensors with F32 images [H, W, C] and `errors`, F64 [calls, 3] of severity, state and estimate. Nothing is
 * rounded on the way. The metadata hold the number of the image and a SHA-256 of all values, so that a torn file is noticed.
 */
import { createHash } from 'node:crypto';
import { ThawError } from '@thaw/shared/protocol';
import { decodeSafetensors, encodeSafetensors, type Tensor } from '@thaw/shared/storage';
import type { Estimate } from '@thaw/shared/evaluation';
import type { ImageShape } from '../ports.js';

const format = 'thaw.estimate/1';
const required = ['original', 'degraded', 'direct', 'sampled', 'lastEstimate'] as const;
const imageNames = [...required, 'firstUpdate'] as const;

export function encodeEstimate(estimate: Estimate, image: number, shape: ImageShape): Uint8Array {
  const tensors: Record<string, Tensor> = {
    errors: {
      dtype: 'F64',
      shape: [estimate.errors.length, 3],
      data: Float64Array.from(estimate.errors.flatMap((error) => [error.severity, error.state, error.estimate])),
    },
  };
  for (const name of imageNames) {
    const data = estimate[name];
    if (data !== undefined)
      tensors[name] = {
        dtype: 'F32',
        shape: [shape.height, shape.width, shape.channels],
        data: data as Tensor['data'],
      };
  }
  return encodeSafetensors(tensors, { format, image: String(image), sha256: digestOf(tensors) });
}

/**
 * Reads the estimate of image `image`, called at `severities`.
 * @throws ThawError THAW_SAFETENSORS_INVALID for anything but this estimate, whole
 */
export function decodeEstimate(
  bytes: Uint8Array,
  { image, shape, severities }: { image: number; shape: ImageShape; severities: readonly number[] },
): Estimate {
  const { tensors, metadata } = decodeSafetensors(bytes);
  if (metadata['format'] !== format) throw invalid(image, `its format is "${metadata['format']}", not ${format}`);
  if (metadata['image'] !== String(image)) throw invalid(image, `it is that of image ${metadata['image']}`);
  if (metadata['sha256'] !== digestOf(tensors)) throw invalid(image, 'its values do not match their SHA-256');
  const imageOf = (name: string): Float32Array | undefined => {
    const tensor = tensors[name];
    if (tensor === undefined) return undefined;
    const fits = [shape.height, shape.width, shape.channels].every((extent, axis) => tensor.shape[axis] === extent);
    if (!(tensor.data instanceof Float32Array) || tensor.shape.length !== 3 || !fits)
      throw invalid(image, `${name} is ${tensor.dtype} [${tensor.shape.join(', ')}]`);
    return tensor.data;
  };
  const images = Object.fromEntries(imageNames.map((name) => [name, imageOf(name)]));
  for (const name of required) if (images[name] === undefined) throw invalid(image, `it has no ${name}`);
  const values = tensors['errors']?.data;
  if (!(values instanceof Float64Array) || values.length !== 3 * severities.length)
    throw invalid(image, `it does not have errors of ${severities.length} calls`);
  const errors = severities.map((severity, call) => {
    if (values[3 * call] !== severity)
      throw invalid(image, `call ${call} was at severity ${values[3 * call]}, not ${severity}`);
    return { severity, state: values[3 * call + 1]!, estimate: values[3 * call + 2]! };
  });
  const { firstUpdate, ...others } = images;
  return { ...(others as unknown as Estimate), ...(firstUpdate === undefined ? {} : { firstUpdate }), errors };
}

function digestOf(tensors: Readonly<Record<string, Tensor>>): string {
  const hash = createHash('sha256');
  for (const name of Object.keys(tensors).sort()) {
    const { data } = tensors[name]!;
    hash.update(name).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return hash.digest('hex');
}

const invalid = (image: number, problem: string): ThawError =>
  new ThawError('THAW_SAFETENSORS_INVALID', `The estimate of image ${image} cannot be used: ${problem}.`);
