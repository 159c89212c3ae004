/** Images sent as safetensors: exact values instead of 8 bits, for instance a `degraded` that a job gave back. */
import { ThawError } from '@thaw/shared/protocol';
import { decodeSafetensors } from '@thaw/shared/storage';
import type { ImageShape } from '../ports.js';

/** float32 [H, W, C] in about [-1, 1]. */
export interface TensorImage extends ImageShape {
  readonly values: Float32Array;
}

/** Eight bytes of length, then a JSON header: neither a PNG nor a JPEG file begins so. */
export const isSafetensors = (file: Uint8Array): boolean => file.length > 9 && file[8] === 0x7b;

/**
 * The tensor `image` of the file, or its only one.
 * @throws ThawError THAW_IMAGE_INVALID naming the tensor and what is allowed, THAW_SAFETENSORS_INVALID
 */
export function tensorImage(file: Uint8Array, { height, width, channels }: ImageShape): TensorImage {
  const { tensors } = decodeSafetensors(file);
  const names = Object.keys(tensors);
  const name = names.includes('image') ? 'image' : names.length === 1 ? names[0]! : undefined;
  const refuse = (what: string): never => {
    throw new ThawError('THAW_IMAGE_INVALID', `image: ${what}`, {
      cure: `Send one F32 tensor "image" [${height}, ${width}, ${channels}] with values from -1 to 1.`,
    });
  };
  if (name === undefined) return refuse(`the file holds ${names.length} tensors, none of them called "image".`);
  const { dtype, shape, data } = tensors[name]!;
  if (dtype !== 'F32' || !(data instanceof Float32Array)) return refuse(`the tensor "${name}" is ${dtype}, not F32.`);
  if (shape.length !== 3 || shape[0] !== height || shape[1] !== width || shape[2] !== channels)
    return refuse(
      `the tensor "${name}" is [${shape.join(', ')}]; the model takes [${height}, ${width}, ${channels}]${channels === 3 && shape.at(-1) === 1 ? ', in colour' : ''}.`,
    );
  const bad = data.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) return refuse(`the tensor "${name}" holds ${data[bad]} at position ${bad}; all values must be finite.`);
  const far = data.findIndex((value) => Math.abs(value) > mostValue);
  if (far >= 0)
    return refuse(
      `the tensor "${name}" holds ${data[far]} at position ${far}; values may be ${-mostValue} to ${mostValue}.`,
    );
  return { height, width, channels, values: data };
}

/** Hot diffusion starts from normal noise; nothing honest is further out. */
const mostValue = 16;
