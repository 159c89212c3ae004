/** Arrays as NumPy writes them (`.npy`, format versions 1 to 3). Pure. */
import { ThawError } from '@thaw/shared/protocol';

export interface NumpyArray {
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

/**
 * Little-endian arrays of float32 or float64, rows together.
 * @throws ThawError THAW_FEATURES_INVALID for anything else, naming `file`
 */
export function parseNpy(bytes: Uint8Array, file: string): NumpyArray {
  const invalid = (what: string): ThawError => new ThawError('THAW_FEATURES_INVALID', `${file} ${what}.`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const long = bytes.length >= 12 && bytes[6]! >= 2;
  if (bytes.length < 12 || Buffer.from(bytes.subarray(0, 6)).toString('latin1') !== '\x93NUMPY')
    throw invalid('is no array of NumPy');
  const from = long ? 12 : 10;
  const end = from + (long ? view.getUint32(8, true) : view.getUint16(8, true));
  const header = Buffer.from(bytes.subarray(from, end)).toString('latin1');
  const type = /'descr':\s*'([^']*)'/.exec(header)?.[1];
  const extents = /'shape':\s*\(([\d,\s]*)\)/.exec(header)?.[1];
  if (end > bytes.length || extents === undefined) throw invalid('is torn');
  if (type !== '<f8' && type !== '<f4') throw invalid(`holds ${type ?? 'something'}; float32 and float64 are read`);
  if (/'fortran_order':\s*True/.test(header)) throw invalid('is in Fortran order; save it in C order');
  const shape = extents
    .split(',')
    .map((text) => text.trim())
    .filter((text) => text !== '')
    .map(Number);
  const count = shape.reduce((product, extent) => product * extent, 1);
  const width = type === '<f8' ? 8 : 4;
  if (bytes.length - end !== count * width) throw invalid('is torn');
  const value = (i: number): number =>
    width === 8 ? view.getFloat64(end + 8 * i, true) : view.getFloat32(end + 4 * i, true);
  return { shape, data: Float64Array.from({ length: count }, (_, i) => value(i)) };
}
