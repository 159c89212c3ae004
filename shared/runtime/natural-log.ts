/**
 * Natural logarithm from `+ - * /` alone. ECMAScript leaves the last bits of Math.log to the engine; draws that decide
 * weights may not depend on it. Method: x = 2^k f with f in [sqrt(1/2), sqrt(2)), ln f = 2 artanh((f - 1) / (f + 1)).
 */
const ln2 = 0.6931471805599453;
const sqrtHalf = 0.7071067811865476;

/** ln x for finite x > 0, to about 1e-15 relative to max(1, |ln x|). */
export function naturalLog(x: number): number {
  if (!(x > 0) || x === Infinity) throw new RangeError(`naturalLog(${x}): want a finite number above zero.`);
  let f = x;
  let k = 0;
  while (f < sqrtHalf) {
    f *= 2;
    k--;
  }
  while (f >= 2 * sqrtHalf) {
    f /= 2;
    k++;
  }
  const s = (f - 1) / (f + 1); // |s| < 0.172: s^21 / 21 < 1e-17
  const square = s * s;
  let sum = 0;
  for (let n = 21; n >= 1; n -= 2) sum = sum * square + 1 / n;
  return k * ln2 + 2 * s * sum;
}
