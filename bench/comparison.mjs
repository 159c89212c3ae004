// What measurements beside a peer share: the middle of the times, figures to so many digits, how far two results are apart.
import { readFileSync } from 'node:fs';

export const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

/** To so many significant digits. */
export const round = (value, digits) => Number(value.toPrecision(digits));

/** `--name text` of the command line; '' without it. */
export const textOption = (name) =>
  process.argv.includes(`--${name}`) ? process.argv[process.argv.indexOf(`--${name}`) + 1] : '';

/**
 * |a - b| / |b| of all values together, of two files of little-endian fp32.
 * @param skip values at the start that are left out
 */
export function relativeError(fileA, fileB, skip = 0) {
  const floats = (file) => {
    const bytes = readFileSync(file);
    return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4).subarray(skip);
  };
  const [a, b] = [floats(fileA), floats(fileB)];
  if (a.length !== b.length) throw new Error(`the results have ${a.length} and ${b.length} values`);
  let [difference, whole] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    difference += (a[i] - b[i]) ** 2;
    whole += b[i] ** 2;
  }
  return Math.sqrt(difference / whole);
}
