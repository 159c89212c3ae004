/** IDX, the file format of MNIST (http://yann.lecun.com/exdb/mnist, "FILE FORMATS FOR THE MNIST DATABASE"). Pure. */
import { ThawError } from '@thaw/shared/protocol';

export interface IdxTensor {
  readonly shape: readonly number[];
  /** Unsigned bytes, row-major; a view of the file's bytes. */
  readonly data: Uint8Array;
}

const typeNames: Readonly<Record<number, string>> = {
  0x09: 'int8',
  0x0b: 'int16',
  0x0c: 'int32',
  0x0d: 'float32',
  0x0e: 'float64',
};
const unsignedByte = 0x08;

/**
 * Reads an IDX file of unsigned bytes.
 * @param name of the file, for messages.
 * @throws ThawError THAW_DATA_INVALID for any other file, a truncated one, or one with bytes left over.
 */
export function parseIdx(bytes: Uint8Array, name: string): IdxTensor {
  const invalid = (problem: string): ThawError => new ThawError('THAW_DATA_INVALID', `${name} ${problem}.`);
  if (bytes.length < 4 || bytes[0] !== 0 || bytes[1] !== 0) throw invalid('is not an IDX file');
  const type = bytes[2]!;
  if (type !== unsignedByte)
    throw invalid(`holds ${typeNames[type] ?? `values of type 0x${type.toString(16)}`}; only unsigned bytes are read`);
  const dimensions = bytes[3]!;
  const begin = 4 + 4 * dimensions;
  if (dimensions === 0) throw invalid('has no dimensions');
  if (bytes.length < begin) throw invalid('ends within its header');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const shape = Array.from({ length: dimensions }, (_, i) => view.getUint32(4 + 4 * i));
  const size = shape.reduce((product, edge) => product * edge, 1);
  if (bytes.length - begin !== size)
    throw invalid(`has ${bytes.length - begin} bytes of data; its shape [${shape.join(', ')}] needs ${size}`);
  return { shape, data: bytes.subarray(begin) };
}
